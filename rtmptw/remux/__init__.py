"""
Decides which frames go to which file, and writes MP4. FFmpeg's containers are in
L{rtmptw._pyav.muxing}.
"""
