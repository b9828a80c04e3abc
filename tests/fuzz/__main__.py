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
    Run one target for so many executions. A finding ends it, with a status that is not
    0, and is written to a file of its own.

    @return: the exit status, if there is nothing to run.
    """
    try:
        import atheris
    except ImportError:
        atheris = None
    with nullcontext() if atheris is None else atheris.instrument_imports(["rtmptw"]):
        from tests.fuzz.targets import TARGETS
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz",
        description="Give random input to the code, and see whether what must hold "
        "does.",
        epilog="Needs atheris: pip install -e '.[fuzz]'",
    )
    parser.add_argument("target", choices=sorted(TARGETS))
    parser.add_argument("--executions", type=int, default=100_000, help="so many")
    parser.add_argument("--longest", type=int, default=4096, help="bytes of input")
    parser.add_argument("--corpus", default="", help="directory to keep inputs in")
    parser.add_argument("inputs", nargs="*", help="run these files, and nothing else")
    options = parser.parse_args()
    target = TARGETS[options.target]
    if options.inputs:
        for path in options.inputs:
            with open(path, "rb") as file:
                target(file.read())
        return 0
    if atheris is None:
        print("there is no atheris here: pip install -e '.[fuzz]'", file=sys.stderr)
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
