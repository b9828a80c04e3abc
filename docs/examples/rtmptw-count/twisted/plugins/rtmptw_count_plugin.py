"""
The rtmptw plugin of rtmptw-count: the sink C{count}.
"""

from rtmptw import SinkPlugin

countSink = SinkPlugin("count", "[:LABEL]", "rtmptw_count.CountSinkFactory")
