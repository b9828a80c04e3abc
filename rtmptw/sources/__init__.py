"""
What gives a stream its frames, besides the connection of a publisher.
"""
