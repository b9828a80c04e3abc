"""
The checks: C{python -m nox}.

They run in the current environment (C{pip install -e '.[dev]'}). Only those that test
an installed rtmptw make their own environments. C{python -m nox -l} lists them;
C{.ci/run} runs them all.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import nox

ROOT = Path(__file__).resolve().parent
# Use the programs of the environment that runs this, even if it is not activated.
os.environ["PATH"] = os.pathsep.join(
    [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
)
#: The checks before a commit; they take a minute.
nox.options.sessions = ["style", "types", "layers"]
nox.options.error_on_external_run = False

#: The tests that need no sockets, for other Pythons.
CORE = ("tests.flv", "tests.rtmp", "tests.hub")
#: The tests that the wheel does not run again: they are about the checkout, or start
#: programs in which it makes no difference what is compiled.
OF_CHECKOUT = (
    "live",
    "test_benchmarks.py",
    "test_decode_examples.py",
    "test_examples.py",
    "test_exports.py",
    "test_habits.py",
    "test_structure.py",
    "test_texts.py",
)
#: The live tests of compiled modules.
COMPILED = ("ffmpeg", "play", "programs", "relay", "many")
#: Files that must be in a source distribution.
SOURCES = (
    "LICENSE",
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "noxfile.py",
    "pyproject.toml",
    "rtmptw/py.typed",
    "tests/vectors.json",
    "twisted/plugins/rtmptw_plugin.py",
    "docs/conf.py",
    "docs/examples/config.toml",
    "docs/examples/rtmptw-count/twisted/plugins/rtmptw_count_plugin.py",
)
SINKS = ("decode", "file", "null", "pipe", "record", "relay", "send", "snapshot")


@nox.session(python=False)
def style(session: nox.Session) -> None:
    """
    Check the style of the code with ruff.
    """
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", ".")


@nox.session(python=False)
def types(session: nox.Session) -> None:
    """
    Check the types of the package and its tests with mypy, strictly.
    """
    session.run("mypy")


@nox.session(python=False)
def layers(session: nox.Session) -> None:
    """
    Check with import-linter that each layer imports only from those below it.
    """
    session.run("lint-imports")


@nox.session(python=False)
def trial(session: nox.Session) -> None:
    """
    Run all tests that need no live clients; arguments select some of them.
    """
    session.run("python", "-m", "twisted.trial", *(session.posargs or ["tests"]))


@nox.session(name="pytest", python=False)
def allTests(session: nox.Session) -> None:
    """
    Run all tests, including live tests; arguments are pytest's.
    """
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session(python=False)
def mutation(session: nox.Session) -> None:
    """
    Check that the tests notice a sample of changes to the core.
    """
    sample = ("--sample", "60")
    session.run("python", "-m", "tests.mutation", *(session.posargs or sample))


@nox.session(python=False)
def micro(session: nox.Session) -> None:
    """
    Compare the cost of a message with an earlier result.
    """
    session.run(
        *("python", "-m", "benchmarks", "micro", "--against", "benchmarks/micro.json"),
        success_codes=[0, 1],
    )


@nox.session(python=False)
def docs(session: nox.Session) -> None:
    """
    Build the documentation without warnings, and the news of the next release.
    """
    target = Path(session.create_tmp()) / "html"
    session.run(
        *("sphinx-build", "-q", "-W", "--keep-going", "-b", "html", "docs"),
        str(target),
    )
    if not (target / "api" / "rtmptw.interfaces.IFrameSink.html").exists():
        session.error("the documentation has no API reference")
    session.run("towncrier", "build", "--draft", "--version", "next", silent=True)


@nox.session(python=False)
def news(session: nox.Session) -> None:
    """
    Write docs/news.md from the fragments: C{nox -s news -- VERSION}.
    """
    (version,) = session.posargs
    session.run("towncrier", "build", "--yes", "--version", version)


@nox.session(python=False)
def distributions(session: nox.Session) -> None:
    """
    Build the source distribution and the wheels, compiled and pure, into dist/, and
    check their contents.
    """
    target = ROOT / "dist"
    shutil.rmtree(target, ignore_errors=True)
    session.run("python", "-m", "build", "--outdir", str(target), ".", silent=True)
    (source,) = target.glob("*.tar.gz")
    (wheel,) = target.glob("*.whl")
    listed = session.run("tar", "-tzf", str(source), silent=True)
    held = {line.partition("/")[2] for line in str(listed).splitlines()}
    for file in SOURCES:
        if file not in held:
            session.error(f"the source distribution has no {file}")
    listed = str(session.run("python", "-m", "zipfile", "-l", str(wheel), silent=True))
    if "twisted/plugins/rtmptw_plugin.py" not in listed:
        session.error("the wheel has no plugin")
    wrong = re.search(
        r"^(twisted/(plugins/)?__init__|tests/|building/|.*dropin\.cache).*",
        listed,
        re.MULTILINE,
    )
    if wrong is not None:
        session.error(f"the wheel must not contain {wrong[0]}")
    # pip must compile if there is a compiler.
    isCompiled = re.search(r"^rtmptw/rtmp/chunkreader\..*\.so ", listed, re.MULTILINE)
    if canCompile() and not isCompiled:
        session.error("the wheel is not compiled")
    session.log(f"the wheel is {'compiled' if isCompiled else 'pure Python'}")
    left = [path for path in (ROOT / "rtmptw").rglob("*.so")]
    if left:
        session.error(f"the build left {left[0]} in the checkout")
    pure = Path(session.create_tmp()) / "pure"
    session.run(
        *("python", "-m", "build", "--wheel", "--outdir", str(pure), "."),
        env={"RTMPTW_PURE": "1"},
        silent=True,
    )
    if not list(pure.glob("*-py3-none-any.whl")):
        session.error("RTMPTW_PURE=1 did not make a pure Python wheel")


@nox.session(python=False)
def wheel(session: nox.Session) -> None:
    """
    Install the wheel of the session "distributions", and test its commands, run the
    tests of its modules and the live tests of the compiled ones, without the sources.
    """
    (built,) = (ROOT / "dist").glob("*.whl")
    with tempfile.TemporaryDirectory(prefix="rtmptw-wheel-") as folder:
        python = environment(session, Path(folder), sys.executable, f"{built}[test]")
        programs = python.parent
        for program, option, word in (
            ("twistd", "--help", "--sink="),
            ("twist", "--help", "--port="),
        ):
            said = session.run(str(programs / program), "rtmp", option, silent=True)
            if word not in str(said):
                session.error(f"{program} rtmp {option} does not print {word}")
        said = session.run(
            str(programs / "twistd"), "rtmp", "--help-sinks", silent=True
        )
        for sink in SINKS:
            if not re.search(rf"^  {sink}\b", str(said), re.MULTILINE):
                session.error(f"the wheel has no {sink} sink")
        tests = Path(folder) / "tests"
        tests.mkdir()
        for name in (
            *("README.md", "CONTRIBUTING.md", "SECURITY.md", "pyproject.toml"),
            *("LICENSE", "noxfile.py", "building", "benchmarks", "docs", "tests"),
        ):
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(
                    source,
                    tests / name,
                    ignore=shutil.ignore_patterns("__pycache__", "_build"),
                )
            else:
                shutil.copy(source, tests / name)
        with session.chdir(tests):
            where = session.run(
                str(python),
                "-c",
                "from rtmptw.rtmp import chunkreader; print(chunkreader.__file__)",
                silent=True,
            )
            if canCompile() and not str(where).strip().endswith(".so"):
                session.error(f"not compiled: {where}")
            said = session.run(str(python), "-m", "rtmptw", "--version", silent=True)
            if canCompile() and "(compiled)" not in str(said):
                session.error(f"python -m rtmptw --version prints: {said}")
            # With pytest, because the README's command uses trial for these.
            session.run(
                *(str(python), "-m", "pytest", "-q", "-n", "2"),
                *(f"--ignore=tests/{name}" for name in OF_CHECKOUT),
            )
            session.run(
                *(str(python), "-m", "pytest", "-q", "-n", "2"),
                *(f"tests/live/test_{name}.py" for name in COMPILED),
            )


@nox.session(python=False)
def pythons(session: nox.Session) -> None:
    """
    Run the tests of the core on every other installed Python, 3.11 or newer.
    C{nox -s pythons -- all} runs all tests on each, with pytest.
    """
    everything = session.posargs == ["all"]
    others = otherPythons()
    if not others:
        session.log("no other Python is installed")
    for version, program in others.items():
        with tempfile.TemporaryDirectory(prefix=f"rtmptw-{version}-") as folder:
            # In pure Python: the session "wheel" tests the compiled modules.
            python = environment(session, Path(folder), program, "-e", f"{ROOT}[test]")
            session.log(f"Python {version}")
            if everything:
                session.run(str(python), "-m", "pytest", "-q")
                continue
            session.run(str(python), "-m", "twisted.trial", "--reporter=text", *CORE)


def environment(
    session: nox.Session, folder: Path, program: str, *packages: str
) -> Path:
    """
    @return: the Python of a new environment with these packages.
    """
    session.run(program, "-m", "venv", str(folder / "venv"))
    python = folder / "venv" / "bin" / "python"
    session.run(
        *(str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"),
        *packages,
    )
    return python


def canCompile() -> bool:
    """
    @return: whether there are a C compiler and Python's headers.
    """
    header = Path(sysconfig.get_path("include")) / "Python.h"
    return shutil.which("gcc") is not None and header.exists()


def otherPythons() -> dict[str, str]:
    """
    @return: every other installed Python by version, 3.11 or newer, final releases
        only.
    """
    ask = (
        "import os, sys; v = sys.version_info; "
        "print(f'{v[0]}.{v[1]}', os.path.realpath(sys.executable)) "
        "if v >= (3, 11) and v.releaselevel == 'final' else None"
    )
    candidates = [f"python3.{minor}" for minor in range(11, 20)]
    candidates += map(str, Path.home().glob(".pyenv/versions/*/bin/python3"))
    found: dict[str, str] = {}
    for candidate in candidates:
        program = shutil.which(candidate)
        if program is None:
            continue
        # A command on the path may be a stub that does not run.
        answer = subprocess.run(
            [program, "-c", ask], capture_output=True, text=True, cwd=os.sep
        ).stdout.split()
        if len(answer) == 2:
            found.setdefault(answer[0], answer[1])
    found.pop(f"{sys.version_info[0]}.{sys.version_info[1]}", None)
    return dict(sorted(found.items(), key=lambda item: int(item[0][2:])))
