"""
Sinks that keep or compute.
"""
