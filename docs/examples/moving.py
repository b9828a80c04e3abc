import numpy


class Moving:
    def __init__(self, stream):
        self.name, self.before = stream.name, None

    def videoFrame(self, frame):
        image = frame.image.astype(numpy.int16)  # OpenCV: cv2.blur(frame.image, (5, 5))
        if self.before is not None:
            moves = (abs(image - self.before) > 25).mean()
            print(f"{self.name} {frame.pts:.2f} s: {moves:.0%} moves", flush=True)
        self.before = image
