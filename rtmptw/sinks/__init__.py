"""
The sinks: what records, forwards or decodes streams.
"""
