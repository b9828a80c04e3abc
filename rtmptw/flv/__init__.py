"""
FLV: the bodies of audio and video messages, and FLV files.
"""
