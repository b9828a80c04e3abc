"""
What the recording sinks share: the metadata tag at the beginning of a file, files that
are being written, and the recovery of unfinished ones.
"""
