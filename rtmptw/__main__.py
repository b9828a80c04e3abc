"""
C{python -m rtmptw}: the same as C{twistd -n rtmp}, with the same options.
"""

import sys

from twisted.scripts.twistd import run


def main() -> None:
    """
    Run the server in the foreground.
    """
    sys.argv[:1] = ["rtmptw", "--nodaemon", "rtmp"]
    run()


if __name__ == "__main__":
    main()
