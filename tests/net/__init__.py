"""
Tests of L{rtmptw.net}.
"""
