"""
RTMP without sockets: bytes, chunks, messages, and the conversation of either side.
Plain Python: time and randomness are arguments.
"""
