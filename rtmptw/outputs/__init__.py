"""
What serves a peer with the frames of a stream: players and relays.
"""
