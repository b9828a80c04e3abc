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
    C{from rtmptw import ...} is all that a program needs.
    """

    def test_eachIsTheThingItself(self) -> None:
        """
        A public name is what lives in the module that it comes from, and is listed.
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
        What is imported for them only is what is imported when it is asked for.
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
        Is an attribute error, as of any module.
        """
        with self.assertRaisesRegex(AttributeError, "rtmptw has no 'Sever'"):
            getattr(rtmptw, "Sever")  # noqa: B009 -- type checkers know that it is not

    def test_anImportCostsNothing(self) -> None:
        """
        It imports no Twisted, and a sink's base classes choose no reactor.
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
        No C{Any} and no C{**options} where a program calls us.
        """
        looked = 0
        wrong: list[str] = []
        for name in dir(rtmptw):
            public = getattr(rtmptw, name)
            # What the image of a decoded frame is depends on the format.
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
                    # A compiled one does not say.
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
    For those who check types.
    """

    def test_withoutPlugin(self) -> None:
        """
        A program is right for a type checker that knows nothing of zope.interface.
        """
        if find_spec("mypy") is None:
            raise SkipTest("there is no mypy")
        if not (Path(rtmptw.__file__).parent / "server.py").exists():
            raise SkipTest("there are no sources")
        folder = Path(tempfile.mkdtemp(prefix="rtmptw-typed-"))
        self.addCleanup(shutil.rmtree, folder)
        program = folder / "program.py"
        program.write_text(_TYPED)
        # In a process of its own: it sets the garbage collector for itself.
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
