"""
The C{file} sink: FLV files with every message unchanged.
"""
