"""
What decides which frames go to which file; what writes a container is elsewhere.
"""
