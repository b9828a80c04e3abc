"""
The C{null} sink: counts, and keeps nothing.
"""
