"""
Measures how much one client can delay the others: C{python -m benchmarks attacks}.

A bystander publishes a small frame every 10 ms and plays it. While attackers load the
server, the largest latency of a frame shows how long they can make everybody wait.
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.errors import BenchmarkError
from rtmptw.rtmp import amf0
from rtmptw.rtmp.amf import AMFObject
from rtmptw.rtmp.chunkwriter import encodeMessage
from rtmptw.rtmp.handshake import SIZE
from rtmptw.rtmp.message import Command

#: A chunk size that fits any message.
CHUNK = 0xFFFFFF
#: The number of concurrent attackers, and the duration of an attack in seconds.
ATTACKERS = 12
SECONDS = 6.0
#: How long to wait for late frames, in seconds.
PATIENCE = 25.0

AUDIO, VIDEO, USER_CONTROL, DATA, COMMAND, AGGREGATE = 8, 9, 4, 18, 20, 22


def message(kind: int, payload: bytes, stream: int = 1, time: int = 0) -> bytes:
    """
    @return: a message in one chunk.
    """
    return encodeMessage(5, kind, time, stream, payload, CHUNK)


def command(name: str, transaction: float, *given: object, stream: int = 0) -> bytes:
    """
    @return: a command in one chunk.
    """
    kind, payload = Command(name, transaction, tuple(given)).encode()  # type: ignore[arg-type]
    return message(kind, payload, stream)


class Client:
    """
    A blocking client.
    """

    def __init__(self, url: str) -> None:
        """
        @param url: the URL of an application on a server.
        """
        parts = urlsplit(url)
        address = (parts.hostname, parts.port)
        self._socket = socket.create_connection(address, timeout=60)
        self._socket.sendall(b"\3" + bytes(8) + os.urandom(SIZE - 8))
        self._await(1 + 2 * SIZE)
        self.send(bytes(SIZE))
        size = CHUNK.to_bytes(4, "big")
        self.send(encodeMessage(2, 1, 0, 0, size, 128))
        app = AMFObject([("app", parts.path.strip("/")), ("tcUrl", url)])
        self.ask(command("connect", 1.0, app), b"_result")

    def send(self, data: bytes) -> None:
        """
        Send bytes.
        """
        self._socket.sendall(data)

    def receive(self) -> bytes:
        """
        @return: the received bytes; empty at the end of the connection.
        """
        return self._socket.recv(1 << 16)

    def _await(self, size: int) -> bytes:
        got = b""
        while len(got) < size:
            got += self.receive()
        return got

    def ask(self, data: bytes, answer: bytes) -> None:
        """
        Send bytes, and wait until the answer contains C{answer}.
        """
        self.send(data)
        got = b""
        while answer not in got:
            more = self.receive()
            if not more:
                raise BenchmarkError("the server has closed the connection")
            got += more

    def begin(self, verb: str, name: str) -> None:
        """
        Start to publish or play.
        """
        self.ask(command("createStream", 2.0, None), b"_result")
        self.ask(command(verb, 3.0, None, name, stream=1), b".Start")

    def readAll(self) -> None:
        """
        Read and discard everything from the server, in another thread.
        """

        def take() -> None:
            with suppress(OSError):
                while self.receive():
                    pass

        threading.Thread(target=take, daemon=True).start()


def _forEver(*data: bytes) -> Iterator[bytes]:
    block = b"".join(data)
    while True:
        yield block


def _aggregates(number: int) -> Iterator[bytes]:
    part = bytes([AUDIO]) + bytes(10) + (11).to_bytes(4, "big")
    return _forEver(message(AGGREGATE, part * (10 * 1024 * 1024 // len(part))))


def _emptyFrames(number: int) -> Iterator[bytes]:
    return _forEver(message(AUDIO, b""), b"\xc5" * 200_000)


def _commands(number: int) -> Iterator[bytes]:
    return _forEver(command("x", 0.0, None) * 20_000)


def _answeredCommands(number: int) -> Iterator[bytes]:
    return _forEver(command("x", 5.0, None) * 20_000)


def _largeCommands(number: int) -> Iterator[bytes]:
    values = b"\x0a" + (990).to_bytes(4, "big") + b"\5" * 990
    kind, payload = Command("x", 5.0, ()).encode()
    return _forEver(message(kind, payload + values, 0) * 100)


def _pings(number: int) -> Iterator[bytes]:
    return _forEver(message(USER_CONTROL, b"\0\6\1\2\3\4", 0) * 20_000)


def _metadata(number: int) -> Iterator[bytes]:
    body = amf0.encode("@setDataFrame", "onMetaData", AMFObject([("a", 1.0)]))
    return _forEver(message(DATA, body) * 2000)


def _publishes(number: int) -> Iterator[bytes]:
    count = 0
    while True:
        yield b"".join(
            command("createStream", 4.0, None)
            + command("publish", 5.0, None, f"s{number}x{count + each}", stream=2)
            + command("deleteStream", 0.0, None, 2.0)
            for each in range(200)
        )
        count += 200


def _plays(number: int) -> Iterator[bytes]:
    return _forEver(
        (
            command("createStream", 4.0, None)
            + command("play", 5.0, None, "bystander", stream=2)
            + command("deleteStream", 0.0, None, 2.0)
        )
        * 200
    )


#: The data that attackers send, by name; each function gets the attacker's number.
ATTACKS: dict[str, Callable[[int], Iterator[bytes]]] = {
    "aggregates of 10 MiB": _aggregates,
    "empty frames": _emptyFrames,
    "commands": _commands,
    "commands with answers": _answeredCommands,
    "large commands": _largeCommands,
    "pings": _pings,
    "metadata": _metadata,
    "publish, and stop": _publishes,
    "play, and stop": _plays,
}


def attack(url: str, name: str, attackers: int) -> None:
    """
    Attack until the process is killed.
    """

    def one(number: int) -> None:
        client = Client(url)
        client.begin("publish", f"attacker{number}")
        client.readAll()
        for data in ATTACKS[name](number):
            client.send(data)

    threads = [
        threading.Thread(target=one, args=(number,)) for number in range(attackers)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class Bystander:
    """
    A client that publishes a stream and plays it.

    @ivar delays: the latencies of the received frames, in seconds.
    @ivar sent: how many frames were sent.
    """

    def __init__(self, url: str) -> None:
        self.delays: list[float] = []
        self.sent = 0
        self._times: dict[int, float] = {}
        self._publisher = Client(url)
        self._publisher.begin("publish", "bystander")
        self._publisher.readAll()
        self._player = Client(url)
        self._player.begin("play", "bystander")
        self._thread = threading.Thread(target=self._play, daemon=True)
        self._thread.start()

    def _play(self) -> None:
        mark = b"\x27\1\0\0\0number"
        got = b""
        with suppress(OSError):
            while more := self._player.receive():
                got += more
                now = time.monotonic()
                while (at := got.find(mark)) >= 0 and len(got) >= at + len(mark) + 4:
                    end = at + len(mark) + 4
                    number = int.from_bytes(got[end - 4 : end], "big")
                    self.delays.append(now - self._times[number])
                    got = got[end:]

    def publish(self, seconds: float) -> float:
        """
        Send a frame every 10 ms.

        @return: the largest latency in seconds; L{PATIENCE} if a frame did not arrive
            within that time.
        """
        self.delays.clear()
        first = self.sent
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._times[self.sent] = time.monotonic()
            number = self.sent.to_bytes(4, "big")
            frame = b"\x17\1\0\0\0" if self.sent == 0 else b""
            body = frame + b"\x27\1\0\0\0number" + number
            self._publisher.send(message(VIDEO, body, time=self.sent * 10))
            self.sent += 1
            time.sleep(0.01)
        until = time.monotonic() + PATIENCE
        while len(self.delays) < self.sent - first and time.monotonic() < until:
            time.sleep(0.05)
        missing = self.sent - first - len(self.delays)
        return PATIENCE if missing else max(self.delays)


def _serve(folder: Path) -> tuple["subprocess.Popen[bytes]", str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    twistd = shutil.which("twistd", path=os.path.dirname(sys.executable))
    if twistd is None:
        raise BenchmarkError("there is no twistd beside this Python")
    log = (folder / "log").open("wb")
    server = subprocess.Popen(
        [twistd, "-n", "--pidfile=", "rtmp", f"--port={port}", "--sink=null"],
        cwd=folder,
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    until = time.monotonic() + 20
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return server, f"rtmp://127.0.0.1:{port}/live"
        if server.poll() is not None or time.monotonic() > until:
            raise BenchmarkError(f"the server did not start: {folder / 'log'}")
        time.sleep(0.1)


def worst(name: str, attackers: int, seconds: float) -> tuple[float, float]:
    """
    @return: the largest latency of a bystander's frame before and during the attack, in
        seconds.

    @raise BenchmarkError: if the attack ended the server.
    """
    with tempfile.TemporaryDirectory() as folder:
        server, url = _serve(Path(folder))
        try:
            bystander = Bystander(url)
            before = bystander.publish(1.0)
            program = "from benchmarks.attacks import attack; attack(%r, %r, %d)"
            attacker = subprocess.Popen(
                [sys.executable, "-c", program % (url, name, attackers)],
                stderr=subprocess.DEVNULL,
            )
            try:
                during = bystander.publish(seconds)
            finally:
                attacker.kill()
                attacker.wait()
            if server.poll() is not None:
                raise BenchmarkError(f"{name}: the server has ended")
        finally:
            server.terminate()
            server.wait()
    return before, during


def runAttacks(names: list[str], attackers: int, seconds: float) -> None:
    """
    Print the largest latency under each attack.
    """
    print(f"largest latency of a bystander, with {attackers} attackers:")
    for name in names or list(ATTACKS):
        before, during = worst(name, attackers, seconds)
        print(
            f"{name:24} {during * 1000:7.0f} ms ({before * 1000:.0f} before)",
            flush=True,
        )
