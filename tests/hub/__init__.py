"""
Tests of hub.
"""
