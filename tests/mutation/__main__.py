"""
The command: C{python -m tests.mutation --help}.
"""

import argparse
import itertools
import os
import random
import sys
import tomllib
from pathlib import Path

from tests.mutation.mutants import Mutant, modulesOf, mutantOf, placesOf
from tests.mutation.running import survivorsOf

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("rtmp", "flv", "hub")
#: So many of a hundred changes may go unnoticed, those that are explained among them.
MOST = 10.0


def explained() -> set[tuple[str, str, str, str]]:
    """
    @return: the changes that C{survivors.toml} explains.
    """
    with open(Path(__file__).parent / "survivors.toml", "rb") as file:
        rows = tomllib.load(file).get("survivor", [])
    return {
        (row["path"], row["where"], row["before"], row["after"])
        for row in rows
        if row["why"]
    }


def main() -> int:
    """
    @return: the exit status.
    """
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutation",
        description="Change the code, and see whether a test notices.",
    )
    parser.add_argument("paths", nargs="*", help="files; all of the core if not given")
    parser.add_argument("--sample", type=int, default=0, help="so many, not all")
    parser.add_argument("--seed", default="rtmptw", help="which ones")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--most",
        type=float,
        default=MOST,
        help="the percentage that may go unnoticed; a small sample has more by chance",
    )
    parser.add_argument("--list", action="store_true", help="only tell what there is")
    options = parser.parse_args()
    paths = options.paths or list(modulesOf(ROOT, PACKAGES))
    places = [place for path in paths for place in placesOf(ROOT, path)]
    random.Random(options.seed).shuffle(places)
    made = (mutantOf(ROOT, place) for place in places)
    mutants = list(itertools.islice(filter(None, made), options.sample or len(places)))
    if options.list:
        for mutant in mutants:
            print(mutant)
        print(f"{len(mutants)} changes")
        return 0
    known = explained()
    count = 0
    terminal = sys.stderr.isatty()

    def done(mutant: Mutant, survived: bool) -> None:
        nonlocal count
        count += 1
        if survived:
            note = " (explained)" if mutant.key in known else ""
            print(f"not noticed{note}: {mutant}", flush=True)
        if terminal:
            print(f"\r{count} of {len(mutants)} ", end="", file=sys.stderr, flush=True)

    survivors = survivorsOf(ROOT, mutants, options.workers, done)
    unknown = [mutant for mutant in survivors if mutant.key not in known]
    percent = 100 * len(survivors) / max(len(mutants), 1)
    print(
        f"{len(mutants)} changes, {len(survivors)} not noticed ({percent:.1f} %), "
        f"{len(unknown)} of them not explained"
    )
    # Of a sample, what is not explained is only told.
    isWhole = not options.sample
    return 1 if percent > options.most or (isWhole and unknown) else 0


if __name__ == "__main__":
    sys.exit(main())
