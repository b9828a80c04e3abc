"""
Tests of wire.
"""
