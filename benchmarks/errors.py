"""
What goes wrong, in one sentence.
"""


class BenchmarkError(Exception):
    """
    Something that a person can put right; the message says what and how.
    """
