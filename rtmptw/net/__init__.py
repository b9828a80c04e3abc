"""
Sockets: where connections come in; many read at once, many written at once.
"""
