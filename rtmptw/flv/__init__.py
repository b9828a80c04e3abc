"""
FLV: the bodies of audio and video messages, and files of them.
"""
