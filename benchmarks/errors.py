"""
The exception for errors that the user can fix.
"""


class BenchmarkError(Exception):
    """
    An error that the user can fix; the message says what is wrong and what to do.
    """
