"""
The resource usage of a process tree, as the Linux kernel counts it.
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
    A process. Process ids are reused; the start time makes it unique.

    @ivar started: its start in ticks since the machine's boot.
    """

    pid: int
    started: int


@dataclass(frozen=True, slots=True)
class Usage:
    """
    The resource usage of a process tree so far.

    @ivar cpu: the CPU time in seconds.
    @ivar resident: the resident memory in bytes.
    """

    cpu: float
    resident: int


def _fields(pid: int) -> list[str] | None:
    """
    @return: the fields of /proc/PID/stat after the command, which may contain any
        characters; C{None} if there is no such process.
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
    @return: whether the process is still running, and not a zombie.
    """
    fields = _fields(process.pid)
    return (
        fields is not None and int(fields[19]) == process.started and fields[0] != "Z"
    )


def _runTime(pid: int, fields: list[str]) -> float:
    """
    @return: the CPU seconds of a process, including threads that have ended.
    """
    try:
        # The id of a process's CPU clock, computed like clock_getcpuclockid(3). It has
        # nanoseconds; stat has only ticks of 10 ms.
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return (int(fields[11]) + int(fields[12])) / _TICK


def usage(tree: Iterable[Process]) -> Usage:
    """
    @return: the usage of these processes and of their ended children (counted in ticks
        of 10 ms by their parents).
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
    @return: for how many seconds a core was busy, with any process.
    """
    for line in Path("/proc/stat").read_text().splitlines():
        name, *numbers = line.split()
        if name == f"cpu{core}":
            ticks = [int(number) for number in numbers[:8]]
            return (sum(ticks) - ticks[3] - ticks[4]) / _TICK
    return 0.0


def queuedIn(table: str, port: int) -> int:
    """
    @param table: the contents of /proc/net/tcp.
    @return: the bytes in transit to a server: in its receive queues and in its clients'
        send queues.
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
    @return: the bytes in transit to the server that listens on a port.
    """
    return queuedIn(Path("/proc/net/tcp").read_text(), port)


def twoCores() -> tuple[int, int] | None:
    """
    @return: a core for the server and another for the load generator, on different
        physical cores if possible; C{None} if we may use only one core.
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
