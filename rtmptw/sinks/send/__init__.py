"""
The C{send} sink: whatever FFmpeg can send to.
"""
