"""
Sockets: listening, and reading and writing many connections at once.
"""
