"""
Tests of L{rtmptw._pyav}.
"""
