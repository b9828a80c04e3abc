"""
Tests of session.
"""
