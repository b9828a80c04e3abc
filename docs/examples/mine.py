def show(frame, stream):
    """
    Say how bright the picture is.
    """
    print(f"{stream.name} {frame.pts:.2f} s: {frame.image.mean():.0f}")
