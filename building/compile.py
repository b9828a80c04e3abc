"""
Compiles modules, in a separate folder that contains C{mypy.ini} and the package:
C{python compile.py GROUP HOT... -- WARM... -- COLD...}. The results are in C{out}.

The C compiler takes most of the time, and much of that for the headers that each C
file includes. So mypyc's C files, one for each module, are compiled together, in a few
units. C{-O3} takes twice as long as C{-O1}, and C{-Og} two thirds as long, so how often
a module's code runs decides its level.
"""

import itertools
import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from mypyc.build import mypycify
from setuptools import Distribution, Extension
from setuptools.command.build_ext import build_ext

#: The optimization levels of modules that every byte passes through, or that cost each
#: frame most (with what mypyc adds to all); of the modules that every frame passes
#: through; and of the others.
LEVELS = {"hot": "-O3", "warm": "-O1", "cold": "-Og"}
#: Units of each kind per core, so that all cores finish at about the same time.
UNITS = {"hot": 1, "warm": 2, "cold": 1}


class Build(build_ext):  # type: ignore[misc]
    """
    Compiles the units of an extension on all cores, the largest first.
    """

    def build_extensions(self) -> None:
        """
        Compile.
        """
        compiler: Any = self.compiler
        compiler.compile = self._compile
        super().build_extensions()

    def _compile(self, sources: list[str], **options: Any) -> list[str]:
        compiler: Any = self.compiler
        _, objects, extra, flags, build = compiler._setup_compile(
            options["output_dir"],
            options["macros"],
            options["include_dirs"],
            sources,
            options["depends"],
            options["extra_postargs"],
        )
        arguments = compiler._get_cc_args(flags, options["debug"], None)

        def one(made: str) -> None:
            source, suffix = build[made]
            kind = Path(source).stem.rstrip("0123456789")
            level = LEVELS.get(kind, LEVELS["cold"])
            compiler._compile(made, source, suffix, arguments, [*extra, level], flags)

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(one, objects))
        return list(objects)


def united(files: list[Path], name: str, count: int) -> list[str]:
    """
    @return: at most C{count} C files that include these, of about equal size.
    """
    units: list[list[Path]] = [[] for _ in range(min(count, len(files)))]

    def sizeOf(unit: list[Path]) -> int:
        return sum(file.stat().st_size for file in unit)

    for file in sorted(files, key=lambda file: -file.stat().st_size):
        min(units, key=sizeOf).append(file)
    return [
        write(files[0].parent / f"{name}{number}.c", unit)
        for number, unit in enumerate(units)
    ]


def write(unit: Path, files: list[Path]) -> str:
    """
    @return: the name of a C file that includes these.
    """
    lines: list[str] = []
    for number, file in enumerate(files):
        # Each file that starts a module has this function, for Windows only.
        lines.append(f"#define PyInit___init__ PyInit___init__{number}")
        lines.append(f'#include "{file.absolute()}"')
        lines.append("#undef PyInit___init__")
    unit.write_text("\n".join([*lines, ""]))
    return str(unit)


def build(extensions: list[Extension]) -> dict[str, Path]:
    """
    @return: the compiled files by name.
    """
    command = Build(Distribution({"name": "rtmptw", "ext_modules": extensions}))
    command.build_lib, command.build_temp = "out", "temp"
    command.ensure_finalized()
    command.run()
    return {
        extension.name: Path(command.get_ext_fullpath(extension.name))
        for extension in extensions
    }


def main(group: str, kinds: dict[str, list[str]]) -> None:
    """
    Compile.

    @param kinds: the modules of each kind.
    """
    shared, *modules = mypycify(
        ["--config-file", "mypy.ini", *itertools.chain(*kinds.values())],
        # The compiler uses the last such option, which is ours.
        opt_level="0",
        debug_level="0",
        group_name=group,
        multi_file=True,
    )
    if shared.name != f"{group}__mypyc":
        shared, *modules = [modules[-1], shared, *modules[:-1]]
    kindOf = {
        "__native_" + module.removesuffix(".py").replace("/", "___") + ".c": kind
        for kind, files in kinds.items()
        for module in files
    }
    sources: dict[str, list[Path]] = {kind: [] for kind in LEVELS}
    for name in shared.sources:
        sources[kindOf.get(Path(name).name, "hot")].append(Path(name))
    cores = os.cpu_count() or 1
    shared.sources = [
        unit
        for kind, files in sources.items()
        for unit in united(files, kind, UNITS[kind] * cores)
    ]
    # Each module has a start function of a few lines, with the last part of the
    # module's name. Together they are one library, which is copied to all places.
    starts: list[dict[str, Extension]] = []
    for module in modules:
        last = module.name.rpartition(".")[2]
        for start in starts:
            if last not in start:
                start[last] = module
                break
        else:
            starts.append({last: module})
    extensions = [shared]
    for number, start in enumerate(starts):
        name = f"start{number}"
        unit = Path(shared.sources[0]).with_name(f"{name}.c")
        files = [Path(module.sources[0]) for module in start.values()]
        extensions.append(Extension(name, [write(unit, files)]))
    made = build(extensions)
    suffix = made[shared.name].name.removeprefix(shared.name)
    for number, start in enumerate(starts):
        path = made[f"start{number}"]
        for module in start.values():
            target = Path("out", *module.name.split(".")).with_suffix(".x")
            target = target.with_name(target.name.removesuffix(".x") + suffix)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
        path.unlink()


if __name__ == "__main__":
    group, *rest = sys.argv[1:]
    kinds: dict[str, list[str]] = {}
    for kind in LEVELS:
        files = list(itertools.takewhile(lambda word: word != "--", rest))
        kinds[kind], rest = files, rest[len(files) + 1 :]
    main(group, kinds)
    # Exit at once: Python would need ten seconds to free all of mypy's objects.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
