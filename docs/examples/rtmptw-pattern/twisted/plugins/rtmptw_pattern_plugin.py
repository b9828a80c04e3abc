"""
The rtmptw plugin of rtmptw-pattern: the source C{pattern}.
"""

from rtmptw.plugins.source import SourcePlugin

patternSource = SourcePlugin(
    "pattern", "[:NAME][:frames=FRAMES]", "rtmptw_pattern.PatternFactory"
)
