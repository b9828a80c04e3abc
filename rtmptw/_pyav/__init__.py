"""
The only place that knows PyAV, FFmpeg for Python: decoding, and writing containers.
"""
