"""
Plugins: sinks, sources and their arguments.
"""
