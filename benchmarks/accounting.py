"""
What a process tree uses, as the Linux kernel counts it.
"""

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
#: The state of a listening socket in /proc/net/tcp.
_LISTENING = "0A"


@dataclass(frozen=True, slots=True)
class Process:
    """
    A process. Numbers are used again; with the time of its start it is the same one.

    @ivar started: in ticks since the machine's start.
    """

    pid: int
    started: int


@dataclass(frozen=True, slots=True)
class Usage:
    """
    What a process tree has used so far.

    @ivar cpu: seconds of run time.
    @ivar resident: bytes of resident memory.
    """

    cpu: float
    resident: int


def _fields(pid: int) -> list[str] | None:
    """
    @return: the fields of /proc/PID/stat behind the command, which may hold
        anything; C{None} if there is no such process.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return text.rpartition(")")[2].split()


def processTree(root: int) -> list[Process]:
    """
    @return: a process, its children, their children and so on.
    """
    children: dict[int, list[Process]] = {}
    tree: list[Process] = []
    for name in os.listdir("/proc"):
        fields = _fields(int(name)) if name.isdigit() else None
        if fields is not None:
            process = Process(int(name), int(fields[19]))
            children.setdefault(int(fields[1]), []).append(process)
            if process.pid == root:
                tree.append(process)
    for process in tree:
        tree += children.get(process.pid, [])
    return tree


def isRunning(process: Process) -> bool:
    """
    Whether it is still there, and no zombie.
    """
    fields = _fields(process.pid)
    return (
        fields is not None and int(fields[19]) == process.started and fields[0] != "Z"
    )


def _runTime(pid: int, fields: list[str]) -> float:
    """
    @return: the CPU seconds of a process, all its threads that are and that were.
    """
    try:
        # The number of a process's CPU clock, as clock_getcpuclockid(3) makes it:
        # nanoseconds, where stat has ticks of 10 ms.
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return (int(fields[11]) + int(fields[12])) / _TICK


def usage(tree: Iterable[Process]) -> Usage:
    """
    @return: what these processes have used, and those of their children that have
        ended (counted in ticks of 10 ms, as their parent learns it).
    """
    cpu = 0.0
    resident = 0
    for process in tree:
        fields = _fields(process.pid)
        if fields is None or int(fields[19]) != process.started:
            continue
        cpu += _runTime(process.pid, fields)
        cpu += (int(fields[13]) + int(fields[14])) / _TICK
        resident += int(fields[21]) * _PAGE
    return Usage(cpu, resident)


def coreBusy(core: int) -> float:
    """
    @return: seconds for which a core has worked, for whomever.
    """
    for line in Path("/proc/stat").read_text().splitlines():
        name, *numbers = line.split()
        if name == f"cpu{core}":
            ticks = [int(number) for number in numbers[:8]]
            return (sum(ticks) - ticks[3] - ticks[4]) / _TICK
    return 0.0


def queuedIn(table: str, port: int) -> int:
    """
    @param table: what /proc/net/tcp says.
    @return: bytes on their way to the sockets of a server: in its receive queues and
        in its clients' send queues.
    """
    queued = 0
    wanted = f":{port:04X}"
    for line in table.splitlines()[1:]:
        _number, local, remote, state, queues, _rest = line.split(None, 5)
        sending, receiving = queues.split(":")
        if local.endswith(wanted) and state != _LISTENING:
            queued += int(receiving, 16)
        elif remote.endswith(wanted):
            queued += int(sending, 16)
    return queued


def queuedBytes(port: int) -> int:
    """
    @return: bytes on their way to the server that listens on a port.
    """
    return queuedIn(Path("/proc/net/tcp").read_text(), port)


def twoCores() -> tuple[int, int] | None:
    """
    @return: a core for the server and another one for the load, on two cores of the
        hardware if it has them; C{None} if we may use one core only.
    """
    mine = sorted(os.sched_getaffinity(0))
    if len(mine) < 2:
        return None
    first = _hardware(mine[0])
    for core in mine[1:]:
        if _hardware(core) != first:
            return mine[0], core
    return mine[0], mine[1]


def _hardware(core: int) -> tuple[str, str]:
    topology = Path(f"/sys/devices/system/cpu/cpu{core}/topology")
    try:
        return (
            (topology / "physical_package_id").read_text(),
            (topology / "core_id").read_text(),
        )
    except OSError:
        return ("", str(core))
