"""
The C{decode} sink: passes decoded frames to your own Python code.
"""
