"""
Tests of L{rtmptw.flv}.
"""
