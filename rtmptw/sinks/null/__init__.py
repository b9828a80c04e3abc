"""
The C{null} sink: counts frames, and keeps nothing.
"""
