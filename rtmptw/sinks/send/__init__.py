"""
The C{send} sink: sends streams to anything FFmpeg can write to.
"""
