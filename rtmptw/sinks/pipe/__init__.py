"""
The C{pipe} sink: writes streams to the standard input of another program.
"""
