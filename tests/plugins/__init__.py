"""
Tests of L{rtmptw.plugins}.
"""
