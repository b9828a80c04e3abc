"""
Sources that give a stream its frames, other than a publisher's connection.
"""
