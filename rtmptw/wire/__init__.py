"""
Bytes to messages and back: handshake, chunk stream, AMF, FLV. Standard library only.
"""
