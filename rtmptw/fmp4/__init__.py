"""
Fragmented MP4 (ISO/IEC 14496-12) as a pure function of frames: an init segment and the
fragments after it. Writing them to files is not part of it.
"""
