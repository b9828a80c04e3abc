"""
What the headers of codecs say: sizes, rates, parameter sets.

Bytes in, values out. What comes from a peer may be anything; nothing here raises but
L{rtmptw.errors.RemoteProtocolError}.
"""
