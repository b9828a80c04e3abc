"""
The command: C{python -m tests.fuzz --help}.
"""

import argparse
import os
import sys
from contextlib import nullcontext
from typing import Any


def main() -> int:
    """
    Run one target for a number of executions. A finding is written to a file and ends
    the run with a nonzero status.

    @return: the exit status, if atheris does not end the process.
    """
    try:
        import atheris
    except ImportError:
        atheris = None
    with nullcontext() if atheris is None else atheris.instrument_imports(["rtmptw"]):
        from tests.fuzz.targets import TARGETS
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz",
        description="Give random input to the code, and check what must hold for any "
        "input.",
        epilog="Needs atheris: pip install -e '.[fuzz]'",
    )
    parser.add_argument("target", choices=sorted(TARGETS))
    parser.add_argument(
        "--executions", type=int, default=100_000, help="how many inputs to try"
    )
    parser.add_argument(
        "--longest", type=int, default=4096, help="the largest input in bytes"
    )
    parser.add_argument("--corpus", default="", help="directory for interesting inputs")
    parser.add_argument("inputs", nargs="*", help="run only these files")
    options = parser.parse_args()
    target = TARGETS[options.target]
    if options.inputs:
        for path in options.inputs:
            with open(path, "rb") as file:
                target(file.read())
        return 0
    if atheris is None:
        print("atheris is not installed: pip install -e '.[fuzz]'", file=sys.stderr)
        return 1
    arguments: list[Any] = [
        sys.argv[0],
        f"-runs={options.executions}",
        f"-max_len={options.longest}",
        "-rss_limit_mb=4096",
        f"-artifact_prefix={options.target}-",
    ]
    if options.corpus:
        os.makedirs(options.corpus, exist_ok=True)
        arguments.append(options.corpus)
    atheris.Setup(arguments, target)
    atheris.Fuzz()
    return 0


sys.exit(main())
