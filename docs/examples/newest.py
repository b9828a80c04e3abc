import rtmptw

for frame in rtmptw.capture("rtmp://0.0.0.0:1935/live/cam"):
    print(frame.shape)
