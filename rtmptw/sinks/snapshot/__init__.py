"""
The C{snapshot} sink: an image of the stream every few seconds.
"""
