"""
What plugs in, and how it is found.
"""
