"""
RTMP without sockets: bytes, chunks, messages, and the client and server sessions.
Plain Python: time and randomness are arguments.
"""
