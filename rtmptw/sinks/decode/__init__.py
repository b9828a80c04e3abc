"""
The C{decode} sink: decoded frames for your own Python.
"""
