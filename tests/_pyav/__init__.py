"""
Tests of what knows PyAV.
"""
