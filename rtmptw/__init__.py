"""
rtmptw: a pluggable RTMP media server on Twisted that loses no frame.
"""

__version__ = "0.1.0"
