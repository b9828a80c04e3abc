"""
Tests of rtmptw.
"""
