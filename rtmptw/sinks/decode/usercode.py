"""
Your function or class, which gets what was decoded: how it is found and called.
"""

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from twisted.python.failure import Failure
from twisted.python.reflect import namedAny

from rtmptw._pyav.decoding import Decoded
from rtmptw.frames import FrameKind, StreamInfo
from rtmptw.sinks.decode.decoding import DecodedFrame, Form
from rtmptw.sinks.decode.lateness import Lateness

#: The methods of a class, and what is decoded for them.
METHODS = {FrameKind.VIDEO: "videoFrame", FrameKind.AUDIO: "audioFrame"}


class DecodedStream:
    """
    What your code is told of the stream.

    @ivar info: its name and where it comes from.
    @ivar name: its public name, C{"live/cam"} for example.
    @ivar hub: the L{StreamHub<rtmptw.hub.hub.StreamHub>}, to publish what you make of
        it; C{None} where the sink was made without a server.
    @ivar reactor: where the server runs. Your code runs in a thread: call what is not
        made for threads with C{reactor.callFromThread}.
    """

    def __init__(self, info: StreamInfo, hub: Any, reactor: Any) -> None:
        self.info = info
        self.hub = hub
        self.reactor = reactor

    @property
    def name(self) -> str:
        """
        The public name.
        """
        return self.info.name


@dataclass(frozen=True, slots=True)
class UserCode:
    """
    Your function or class.

    @ivar name: what to call it in the log.
    @ivar function: called with each frame and the stream; C{None} for a class. One
        that is declared C{async} is awaited.
    @ivar objects: called with the stream, makes what has the methods C{videoFrame},
        C{audioFrame} and C{ended}, or some of them; C{None} for a function. Those that
        are declared C{async} are awaited.
    """

    name: str
    function: Callable[[DecodedFrame, DecodedStream], object] | None = None
    objects: Callable[[DecodedStream], Any] | None = None

    @classmethod
    def fromObject(cls, name: str, found: Any) -> "UserCode":
        """
        @raise ValueError: with a sentence, if it is neither a function nor a class
            that would do, or cannot be called as it will be.
        """
        if inspect.isclass(found):
            if not any(hasattr(found, method) for method in METHODS.values()):
                raise ValueError(
                    f"The class {name} has neither videoFrame nor audioFrame."
                )
            _checkCall(name, found, "stream")
            for method in METHODS.values():
                _checkMethod(name, found, method, "frame")
            _checkMethod(name, found, "ended", "reason")
            return cls(name, objects=found)
        if not callable(found):
            raise ValueError(
                f"{name} is no function and no class, but {type(found).__name__}."
            )
        _checkCall(name, found, "frame", "stream")
        return cls(name, function=found)

    @classmethod
    def fromName(cls, name: str) -> "UserCode":
        """
        Import it.

        @param name: C{package.module.callable}.

        @raise ValueError: with a sentence, if that does not work.
        """
        try:
            found = namedAny(name)
        except Exception as error:
            # It may be anything: the module is anybody's code.
            said = " ".join(str(error).split())
            raise ValueError(
                f"Cannot import {name!r}: {type(error).__name__}: {said}"
            ) from None
        if inspect.ismodule(found):
            raise ValueError(
                f"{name!r} is a module; say which function or class of it: {name}.NAME."
            )
        return cls.fromObject(name, found)

    def media(self) -> str:
        """
        @return: what a class has methods for: C{video}, C{audio} or C{both}.
        """
        has = [
            kind for kind, method in METHODS.items() if hasattr(self.objects, method)
        ]
        return "both" if len(has) == 2 else has[0].name.lower()


def _checkMethod(name: str, made: type, method: str, argument: str) -> None:
    function = inspect.getattr_static(made, method, None)
    if function is None:
        return
    if isinstance(function, (staticmethod, classmethod)):
        _checkCall(f"{name}.{method}", getattr(made, method), argument)
    else:
        _checkCall(f"{name}.{method}", function, "self", argument)


def _checkCall(name: str, function: Any, *arguments: str) -> None:
    """
    @raise ValueError: with a sentence, if it cannot be called with these arguments, or
        a call would do nothing.
    """
    if isGenerator(function):
        raise ValueError(
            f"{name} is a generator: calling it does nothing. Write a function without "
            "yield."
        )
    try:
        signature = inspect.signature(function)
    except ValueError:
        # Some that are written in C do not say.
        return
    try:
        signature.bind(*arguments)
    except TypeError:
        shown = [argument for argument in arguments if argument != "self"]
        raise ValueError(
            f"{name} is defined as {name.rpartition('.')[2]}{signature}, and will be "
            f"called with {len(shown)} argument{'s' * (len(shown) > 1)}: "
            f"({', '.join(shown)})."
        ) from None


def _codeOf(function: Any) -> Any:
    """
    @return: the function itself, of an object that can be called its C{__call__}.
    """
    if inspect.isroutine(function) or inspect.isclass(function):
        return function
    if hasattr(function, "func"):
        return _codeOf(function.func)
    return getattr(function, "__call__", function)  # noqa: B004 -- it is looked into


def isGenerator(function: Any) -> bool:
    """
    Whether a call would only make a generator.
    """
    code = _codeOf(function)
    return inspect.isgeneratorfunction(code) or inspect.isasyncgenfunction(code)


def isCoroutine(function: Any) -> bool:
    """
    Whether a call makes a coroutine, which has to be awaited.
    """
    return inspect.iscoroutinefunction(_codeOf(function))


@dataclass(slots=True)
class Outcome:
    """
    What came of some calls of your code.

    @ivar given: how many frames it got.
    @ivar errors: how many exceptions there were.
    @ivar failure: the first of them.
    @ivar isOver: whether it is to get no more.
    """

    given: int = 0
    errors: int = 0
    failure: Failure | None = None
    isOver: bool = False

    def add(self, other: "Outcome") -> None:
        """
        Add what came of later calls.
        """
        self.given += other.given
        self.errors += other.errors
        self.failure = self.failure or other.failure
        self.isOver = other.isOver

    def failed(self) -> None:
        """
        Write down the exception at hand.
        """
        self.errors += 1
        if self.failure is None:
            self.failure = Failure()


class Caller:
    """
    Calls your code. What is not C{async} is called in a lane; what is, in the reactor's
    thread.
    """

    def __init__(
        self,
        code: UserCode,
        stream: DecodedStream,
        form: Form,
        detach: bool,
        lateness: Lateness,
    ) -> None:
        """
        @param detach: whether the first exception is the end.
        @param lateness: which frames are not to be given any more.
        """
        self._lateness = lateness
        self._code = code
        self._stream = stream
        self._form = form
        self._detach = detach
        self._object: Any = None
        self._calls: dict[FrameKind, Callable[[DecodedFrame], object]] = {}
        self._awaited: dict[FrameKind, Callable[[DecodedFrame], Awaitable[object]]] = {}

    @property
    def isAsync(self) -> bool:
        """
        Whether some of it has to be awaited: then L{convert} and L{give} take the
        place of L{call}.
        """
        return bool(self._awaited)

    def start(self) -> Outcome:
        """
        Make the object. Without it there is nothing to do.
        """
        outcome = Outcome()
        if self._code.objects is not None:
            try:
                self._object = self._code.objects(self._stream)
            except Exception:
                # It is anybody's code.
                outcome.failed()
                outcome.isOver = True
                return outcome
        for kind, method in METHODS.items():
            call: Any = getattr(self._object, method, self._callFunction)
            self._calls[kind] = call
            if isCoroutine(self._code.function if call == self._callFunction else call):
                self._awaited[kind] = call
        return outcome

    def _callFunction(self, frame: DecodedFrame) -> object:
        function = self._code.function
        return None if function is None else function(frame, self._stream)

    def call(self, decoded: list[Decoded]) -> Outcome:
        """
        Give it some frames.
        """
        outcome = Outcome()
        for one in decoded:
            if not self._lateness.admits(one):
                continue
            outcome.given += 1
            try:
                self._calls[one.kind](self._form.give(one))
            except Exception:
                # It is anybody's code: what it raises is told, and the stream goes on.
                outcome.failed()
                if self._detach:
                    outcome.isOver = True
                    break
        return outcome

    def convert(self, decoded: Decoded) -> DecodedFrame | None:
        """
        @return: the frame as L{give} wants it; C{None} if it comes too late. In the
            lane: it takes a while.
        """
        return self._form.give(decoded) if self._lateness.admits(decoded) else None

    async def give(
        self, frame: DecodedFrame, run: Callable[..., Awaitable[object]]
    ) -> Outcome:
        """
        Give it one frame, and wait for it.

        @param run: runs in the lane what need not be awaited.
        """
        outcome = Outcome(given=1)
        awaited = self._awaited.get(frame.kind)
        try:
            if awaited is None:
                await run(self._calls[frame.kind], frame)
            else:
                await awaited(frame)
        except Exception:
            # It is anybody's code: what it raises is told, and the stream goes on.
            outcome.failed()
            outcome.isOver = self._detach
        return outcome

    def end(self, reason: str) -> Outcome:
        """
        Tell it that no more comes.
        """
        outcome = Outcome()
        ended = self._ended()
        if ended is not None:
            try:
                ended(reason)
            except Exception:
                # It is anybody's code: what it raises is told, and the stream goes on.
                outcome.failed()
        return outcome

    async def endAsync(self, reason: str) -> Outcome:
        """
        As L{end}, if L{isEndAsync}.
        """
        outcome = Outcome()
        ended = self._ended()
        if ended is not None:
            try:
                await ended(reason)
            except Exception:
                # It is anybody's code: what it raises is told, and the stream goes on.
                outcome.failed()
        return outcome

    @property
    def isEndAsync(self) -> bool:
        """
        Whether it is told of the end by something that has to be awaited.
        """
        return isCoroutine(getattr(self._object, "ended", None))

    def _ended(self) -> Callable[[str], Any] | None:
        """
        @return: what tells it of the end; the object is let go.
        """
        ended: Callable[[str], Any] | None = getattr(self._object, "ended", None)
        self._object = None
        self._calls = {}
        self._awaited = {}
        return ended
