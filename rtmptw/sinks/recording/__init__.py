"""
What the recording sinks share: the head of a file, files that are not finished yet,
and those that never were.
"""
