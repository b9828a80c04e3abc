"""
What rtmptw-pattern adds to rtmptw: the source C{pattern}.
"""

from rtmptw.plugins.source import SourcePlugin

patternSource = SourcePlugin(
    "pattern", "[:NAME][:frames=FRAMES]", "rtmptw_pattern.PatternFactory"
)
