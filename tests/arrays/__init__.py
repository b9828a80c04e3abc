"""
Tests of captures and writers.
"""
