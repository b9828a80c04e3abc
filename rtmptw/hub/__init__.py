"""
The domain: streams, each joining one source to many sinks.
"""
