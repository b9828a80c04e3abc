"""
The server side of an RTMP connection: publishing and playing.
"""
