"""
Parsers of codec headers: sizes, rates, parameter sets.

They take bytes and return values. The bytes come from peers and may be anything:
L{rtmptw.errors.RemoteProtocolError} is the only exception raised for them.
"""
