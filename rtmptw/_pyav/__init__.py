"""
The only package that uses PyAV, the Python binding of FFmpeg: decoding, encoding, and
reading and writing containers.
"""
