"""
How sockets are economised: many read at once, many written at once.
"""
