"""
Live tests: real programs against a real server.
"""
