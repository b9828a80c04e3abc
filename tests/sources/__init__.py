"""
Tests of sources.
"""
