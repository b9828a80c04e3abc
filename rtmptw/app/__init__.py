"""
The program C{twistd rtmp}.
"""
