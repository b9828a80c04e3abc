"""
The C{file} sink: FLV, every message as it came.
"""
