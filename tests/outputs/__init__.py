"""
Tests of outputs.
"""
