"""
What rtmptw-count adds to rtmptw: the sink C{count}.
"""

from rtmptw import SinkPlugin

countSink = SinkPlugin("count", "[:LABEL]", "rtmptw_count.CountSinkFactory")
