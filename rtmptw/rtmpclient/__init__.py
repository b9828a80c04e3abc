"""
Connections to other RTMP servers: relays and pulls.
"""
