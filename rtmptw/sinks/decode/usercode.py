"""
Finds and calls your function or class that gets the decoded frames.
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

#: The methods of a class, by the kind of frame that they get.
METHODS = {FrameKind.VIDEO: "videoFrame", FrameKind.AUDIO: "audioFrame"}


class DecodedStream:
    """
    What your code gets to know of the stream.

    @ivar info: its name and its source.
    @ivar name: its public name, C{"live/cam"} for example.
    @ivar hub: the L{StreamHub<rtmptw.hub.hub.StreamHub>}, for publishing a stream of
        your own; C{None} if the sink was made without a server.
    @ivar reactor: the server's reactor. Your code runs in a thread: call anything that
        is not thread-safe with C{reactor.callFromThread}.
    """

    def __init__(self, info: StreamInfo, hub: Any, reactor: Any) -> None:
        self.info = info
        self.hub = hub
        self.reactor = reactor

    @property
    def name(self) -> str:
        """
        The stream's public name.
        """
        return self.info.name


@dataclass(frozen=True, slots=True)
class UserCode:
    """
    Your function or class.

    @ivar name: its name in the log.
    @ivar function: called with each frame and the stream; C{None} for a class. If it is
        declared C{async}, it is awaited.
    @ivar objects: called with the stream; returns an object with any of the methods
        C{videoFrame}, C{audioFrame} and C{ended}. C{None} for a function. Methods
        declared C{async} are awaited.
    """

    name: str
    function: Callable[[DecodedFrame, DecodedStream], object] | None = None
    objects: Callable[[DecodedStream], Any] | None = None

    @classmethod
    def fromObject(cls, name: str, found: Any) -> "UserCode":
        """
        @raise ValueError: with a sentence, if it is neither a function nor a suitable
            class, or cannot be called with the required arguments.
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
                f"{name} is neither a function nor a class: {type(found).__name__}."
            )
        _checkCall(name, found, "frame", "stream")
        return cls(name, function=found)

    @classmethod
    def fromName(cls, name: str) -> "UserCode":
        """
        Import your code.

        @param name: C{package.module.callable}.

        @raise ValueError: with a sentence, if that fails.
        """
        try:
            found = namedAny(name)
        except Exception as error:
            # The module may raise anything.
            said = " ".join(str(error).split())
            raise ValueError(
                f"Cannot import {name!r}: {type(error).__name__}: {said}"
            ) from None
        if inspect.ismodule(found):
            raise ValueError(
                f"{name!r} is a module; add a function or class of it: {name}.NAME."
            )
        return cls.fromObject(name, found)

    def media(self) -> str:
        """
        @return: the media that a class has methods for: C{video}, C{audio} or C{both}.
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
        a call would have no effect.
    """
    if isGenerator(function):
        raise ValueError(
            f"{name} is a generator function: calling it does nothing. Use a function "
            "without yield."
        )
    try:
        signature = inspect.signature(function)
    except ValueError:
        # Some functions written in C have no signature.
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
    @return: the function itself; for a callable object, its C{__call__}.
    """
    if inspect.isroutine(function) or inspect.isclass(function):
        return function
    if hasattr(function, "func"):
        return _codeOf(function.func)
    return getattr(function, "__call__", function)  # noqa: B004 -- it is looked into


def isGenerator(function: Any) -> bool:
    """
    Whether a call would only create a generator.
    """
    code = _codeOf(function)
    return inspect.isgeneratorfunction(code) or inspect.isasyncgenfunction(code)


def isCoroutine(function: Any) -> bool:
    """
    Whether a call returns a coroutine, which has to be awaited.
    """
    return inspect.iscoroutinefunction(_codeOf(function))


@dataclass(slots=True)
class Outcome:
    """
    The result of calls of your code.

    @ivar given: the number of frames passed to it.
    @ivar errors: the number of exceptions.
    @ivar failure: the first exception.
    @ivar isOver: whether it is to get no more frames.
    """

    given: int = 0
    errors: int = 0
    failure: Failure | None = None
    isOver: bool = False

    def add(self, other: "Outcome") -> None:
        """
        Add the outcome of later calls.
        """
        self.given += other.given
        self.errors += other.errors
        self.failure = self.failure or other.failure
        self.isOver = other.isOver

    def failed(self) -> None:
        """
        Record the current exception.
        """
        self.errors += 1
        if self.failure is None:
            self.failure = Failure()


class Caller:
    """
    Calls your code: C{async} functions in the reactor's thread, others in a lane.
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
        @param detach: whether the first exception ends the calls.
        @param lateness: skips frames that are too old.
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
        Whether any of the functions has to be awaited: then L{convert} and L{give}
        replace L{call}.
        """
        return bool(self._awaited)

    def start(self) -> Outcome:
        """
        Create the object, if your code is a class. If that fails, nothing more is
        called.
        """
        outcome = Outcome()
        if self._code.objects is not None:
            try:
                self._object = self._code.objects(self._stream)
            except Exception:
                # User code may raise anything.
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
        Pass some frames to your code.
        """
        outcome = Outcome()
        for one in decoded:
            if not self._lateness.admits(one):
                continue
            outcome.given += 1
            try:
                self._calls[one.kind](self._form.give(one))
            except Exception:
                # User code may raise anything; it is logged, and the stream continues.
                outcome.failed()
                if self._detach:
                    outcome.isOver = True
                    break
        return outcome

    def convert(self, decoded: Decoded) -> DecodedFrame | None:
        """
        Convert a frame; takes a while, so it must run in the lane.

        @return: the frame for L{give}; C{None} if it is too old.
        """
        return self._form.give(decoded) if self._lateness.admits(decoded) else None

    async def give(
        self, frame: DecodedFrame, run: Callable[..., Awaitable[object]]
    ) -> Outcome:
        """
        Pass one frame to your code, and wait for it.

        @param run: runs functions that need not be awaited, in the lane.
        """
        outcome = Outcome(given=1)
        awaited = self._awaited.get(frame.kind)
        try:
            if awaited is None:
                await run(self._calls[frame.kind], frame)
            else:
                await awaited(frame)
        except Exception:
            # User code may raise anything; it is logged, and the stream continues.
            outcome.failed()
            outcome.isOver = self._detach
        return outcome

    def end(self, reason: str) -> Outcome:
        """
        Tell your code that the stream has ended.
        """
        outcome = Outcome()
        ended = self._ended()
        if ended is not None:
            try:
                ended(reason)
            except Exception:
                # User code may raise anything; it is logged, and the stream continues.
                outcome.failed()
        return outcome

    async def endAsync(self, reason: str) -> Outcome:
        """
        Like L{end}; to be used if L{isEndAsync}.
        """
        outcome = Outcome()
        ended = self._ended()
        if ended is not None:
            try:
                await ended(reason)
            except Exception:
                # User code may raise anything; it is logged, and the stream continues.
                outcome.failed()
        return outcome

    @property
    def isEndAsync(self) -> bool:
        """
        Whether the C{ended} method has to be awaited.
        """
        return isCoroutine(getattr(self._object, "ended", None))

    def _ended(self) -> Callable[[str], Any] | None:
        """
        Release the object.

        @return: its C{ended} method, if it has one.
        """
        ended: Callable[[str], Any] | None = getattr(self._object, "ended", None)
        self._object = None
        self._calls = {}
        self._awaited = {}
        return ended
