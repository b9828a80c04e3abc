"""
The command: C{python -m tests.mutation --help}.
"""

import argparse
import os
import random
import sys
import tomllib
from pathlib import Path

from tests.mutation.mutants import Mutant, modulesOf, placesOf, testsOf
from tests.mutation.running import Outcome, Trials

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("rtmp", "flv", "hub")
#: The percentage of changes that may go unnoticed. Each of them must be explained.
MOST = 10.0


def explanations() -> set[tuple[str, ...]]:
    """
    @return: what C{survivors/*.toml} explain: the file, the class and function, and the
        line. Also what the line becomes, unless the explanation is valid for every
        change of the line.
    """
    return {
        tuple(row[key] for key in ("path", "where", "before", "after") if key in row)
        for path in (Path(__file__).parent / "survivors").glob("*.toml")
        for row in tomllib.loads(path.read_text(encoding="utf-8")).get("survivor", [])
        if row["why"]
    }


def main() -> int:
    """
    @return: the exit status.
    """
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutation",
        description="Change the code, and check whether a test notices.",
    )
    parser.add_argument(
        "paths", nargs="*", help="files to change; default: all of the core"
    )
    parser.add_argument(
        "--sample", type=int, default=0, help="try only this many changes"
    )
    parser.add_argument("--seed", default="rtmptw", help="which changes a sample has")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    # Hypothesis then uses the same examples each time.
    os.environ["CI"] = "true"
    paths = options.paths or list(modulesOf(ROOT, PACKAGES))
    places = [place for path in paths for place in placesOf(ROOT, path)]
    random.Random(options.seed).shuffle(places)
    if options.sample:
        places = places[: options.sample]
    known = explanations()

    def isExplained(mutant: Mutant) -> bool:
        return mutant.key in known or mutant.key[:3] in known

    survivors: list[Mutant] = []
    changes = 0
    terminal = sys.stderr.isatty()

    def done(outcome: Outcome) -> None:
        nonlocal changes
        changes += outcome.mutant is not None or bool(outcome.noticed)
        if outcome.mutant is not None and not outcome.noticed:
            survivors.append(outcome.mutant)
            note = " (explained)" if isExplained(outcome.mutant) else ""
            print(f"not noticed{note}: {outcome.mutant}", flush=True)
        if terminal:
            line = f"\r{changes} of {len(places)} "
            print(line, end="", file=sys.stderr, flush=True)

    Trials(ROOT, paths, list(testsOf(ROOT, PACKAGES))).run(
        places, options.workers, done
    )
    unknown = [mutant for mutant in survivors if not isExplained(mutant)]
    percent = 100 * len(survivors) / max(changes, 1)
    print(
        f"{changes} changes, {len(survivors)} not noticed ({percent:.1f} %), "
        f"{len(unknown)} of them not explained"
    )
    # The percentage of a sample means little.
    isTooMuch = not options.sample and percent > MOST
    return 1 if isTooMuch or unknown else 0


if __name__ == "__main__":
    sys.exit(main())
