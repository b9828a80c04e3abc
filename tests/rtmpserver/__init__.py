"""
Tests of L{rtmptw.rtmpserver}.
"""
