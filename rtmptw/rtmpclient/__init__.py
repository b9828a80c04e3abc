"""
Our connections to other servers: relays and pulls.
"""
