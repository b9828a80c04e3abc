"""
Tests of live.
"""
