"""
The C{snapshot} sink: a still image every few seconds.
"""
