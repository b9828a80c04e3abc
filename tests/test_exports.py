"""
Tests of what C{rtmptw} exports.
"""

import ast
import inspect
import re
import shutil
import subprocess
import sys
import tempfile
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import ParamSpecKwargs

from twisted.trial.unittest import SkipTest, SynchronousTestCase

import rtmptw

ROOT = Path(__file__).resolve().parent.parent
_TYPED = """
from twisted.internet.interfaces import IPushProducer

from rtmptw import Delivery, Frame, FrameSink, FrameSinkFactory, LATEST, Role
from rtmptw import LiveStream, Server, StreamInfo, capture, captureAsync, writer


class Counter(FrameSink):
    delivery: Delivery = LATEST
    frames: int = 0

    def frameReceived(self, frame: Frame) -> None:
        if frame.role is Role.CODED:
            self.frames += 1
        if self.frames == 10:
            self.failure = "ten are enough"
            self.producer.stopProducing()

    def streamEnded(self, reason: str) -> None:
        print(self.stream.name, self.frames, reason)


class CounterFactory(FrameSinkFactory):
    def buildSink(self, stream: StreamInfo) -> Counter:
        return Counter()


async def main() -> None:
    server = Server(sinks=["file", CounterFactory(), ("best", CounterFactory())])
    await server.listen("tcp:1935")
    stream: LiveStream = await server.whenPublished("live/cam")
    stream.attach(Counter())
    async for frame in stream.frames(format="bgr24"):
        print(frame.pts, frame.image.mean())
    await server.stop()
    async for array in captureAsync("rtmp://0.0.0.0/live/cam", every=True):
        print(array.pts, array.mean())


def turn() -> None:
    with capture("rtmp://0.0.0.0/live/cam") as frames:
        with writer("rtmp://host/live/out", size=(640, 480), options={"g": 50}) as out:
            for array in frames:
                out.write(array[::-1], time=array.pts)
    for frame in capture("rtmp://0.0.0.0/live/cam", media="audio"):
        print(frame.kind, frame.pts)
"""


class ExportTests(SynchronousTestCase):
    """
    C{from rtmptw import ...} has what a program needs.
    """

    def test_eachIsTheThingItself(self) -> None:
        """
        Each public name is the object of its home module, and is listed by C{dir}.
        """
        all = [name for names in rtmptw._HOMES.values() for name in names]
        self.assertEqual(sorted(["__version__", *all]), dir(rtmptw))
        for module, names in rtmptw._HOMES.items():
            for name in names:
                found = getattr(rtmptw, name)
                self.assertIs(found, getattr(import_module(module), name), name)
                if inspect.isclass(found):
                    self.assertEqual(found.__module__, module, name)

    def test_typeCheckersSeeTheSame(self) -> None:
        """
        The stub imports for type checkers exactly what is imported on demand.
        """
        stub = Path(rtmptw.__file__).with_suffix(".pyi")
        imports = {
            (node.module, alias.name, alias.asname)
            for node in ast.walk(ast.parse(stub.read_text("utf-8")))
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        self.assertEqual(
            imports,
            {
                (module, name, name)
                for module, names in rtmptw._HOMES.items()
                for name in names
            },
        )

    def test_whatIsNotThere(self) -> None:
        """
        A missing name raises C{AttributeError}.
        """
        with self.assertRaisesRegex(AttributeError, "rtmptw has no 'Sever'"):
            getattr(rtmptw, "Sever")  # noqa: B009 -- type checkers know that it is not

    def test_anImportCostsNothing(self) -> None:
        """
        C{import rtmptw} does not import Twisted, and importing a sink's base classes
        installs no reactor.
        """
        program = (
            "import sys, rtmptw; "
            "assert not any(name.startswith(('twisted', 'zope', 'av', 'rtmptw.')) "
            "for name in sys.modules), sys.modules; "
            "from rtmptw import FrameSink, SinkPlugin, Frame; "
            "print('twisted.internet.reactor' in sys.modules, 'av' in sys.modules)"
        )
        said = subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        self.assertEqual((said.stdout, said.stderr), ("False False\n", ""))

    def test_signaturesSayWhatTheyTake(self) -> None:
        """
        Signatures of the public API have no C{Any} and no C{**options}.
        """
        looked = 0
        wrong: list[str] = []
        for name in dir(rtmptw):
            public = getattr(rtmptw, name)
            # The type of a decoded frame's image depends on the format.
            if not inspect.isclass(public) or public is rtmptw.DecodedFrame:
                continue
            for method, function in inspect.getmembers(public, callable):
                home = getattr(function, "__module__", "") or ""
                if (method.startswith("_") and method != "__init__") or (
                    inspect.isclass(function) or not home.startswith("rtmptw")
                ):
                    continue
                try:
                    signature = inspect.signature(function)
                except ValueError:
                    # Compiled functions have no signature.
                    continue
                looked += 1
                wrong += [
                    f"{name}.{method}({parameter})"
                    for parameter in signature.parameters.values()
                    if (
                        parameter.kind is parameter.VAR_KEYWORD
                        and not isinstance(parameter.annotation, ParamSpecKwargs)
                    )
                    or re.search(r"\bAny\b", str(parameter.annotation))
                ]
                if re.search(r"\bAny\b", str(signature.return_annotation)):
                    wrong.append(f"{name}.{method} -> {signature.return_annotation}")
        self.assertEqual(wrong, [])
        self.assertGreater(looked, 60)


class TypeCheckerTests(SynchronousTestCase):
    """
    The public API under a type checker.
    """

    def test_withoutPlugin(self) -> None:
        """
        A correct program passes a strict type checker without a plugin for
        zope.interface.
        """
        if find_spec("mypy") is None:
            raise SkipTest("mypy is not installed")
        if not (Path(rtmptw.__file__).parent / "server.py").exists():
            raise SkipTest("the sources are not here")
        folder = Path(tempfile.mkdtemp(prefix="rtmptw-typed-"))
        self.addCleanup(shutil.rmtree, folder)
        program = folder / "program.py"
        program.write_text(_TYPED)
        # In a process of its own, because mypy changes the garbage collector's
        # settings.
        said = subprocess.run(
            [
                *(sys.executable, "-m", "mypy", "--config-file=", "--strict"),
                f"--cache-dir={folder}/cache",
                "--follow-imports=silent",
                "--ignore-missing-imports",
                program,
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.assertEqual(said.stdout, "Success: no issues found in 1 source file\n")
