"""
Frames as numpy arrays, in and out, for programs that know nothing of Twisted.
"""
