"""
Tests of L{rtmptw.rtmpclient}.
"""
