def show(frame, stream):
    """
    Print the brightness of the image.
    """
    print(f"{stream.name} {frame.pts:.2f} s: {frame.image.mean():.0f}")
