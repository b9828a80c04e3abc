"""
Live streams as numpy arrays, in and out, for programs that do not use Twisted.
"""
