"""
The C{pipe} sink: the standard input of another program.
"""
