"""
A client's connection to this server: publishing and playing.
"""
