"""
The C{record} sink: MP4, Matroska, MPEG-TS and FLV files, without transcoding.
"""
