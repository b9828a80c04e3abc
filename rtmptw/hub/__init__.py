"""
The hub: live streams, each connecting one source to many sinks.
"""
