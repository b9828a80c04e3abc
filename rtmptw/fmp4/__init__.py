"""
Fragmented MP4 (ISO/IEC 14496-12), as a pure function of frames: an init segment, and
fragments after it. Where they go is elsewhere.
"""
