"""
Tests of L{rtmptw.app}.
"""
