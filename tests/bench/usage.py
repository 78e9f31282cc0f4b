"""What a process and its children use: CPU time, memory, open files. Linux's /proc alone."""

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_PROC = Path("/proc")
_YARDSTICK_TURNS = 100
_YARDSTICK_NUMBERS = 100_000
_CLOCK_OF_SCHEDULER = 2
"""Low bits of a process's CPU clock: user and system time as the scheduler counts it."""


@dataclass(frozen=True, slots=True)
class OpenFiles:
    """Open descriptors of a process tree."""

    all: int
    sockets: int


def yardstick_ms() -> float:
    """CPU milliseconds of a fixed piece of work, about 2 on a core that nobody else uses.

    On a rented machine the other half of a core may belong to a stranger, who is in no statistic
    of ours, and then all CPU time buys half as much.
    """
    begin = time.thread_time()
    for _ in range(_YARDSTICK_TURNS):
        sum(range(_YARDSTICK_NUMBERS))
    return 1000 * (time.thread_time() - begin) / _YARDSTICK_TURNS


def keep_off_the_loads_core(pid: int) -> None:
    """Keeps a process from the last core, which is that of load and far end (load.c).

    They go first there: a gateway of one thread that the scheduler put onto it would wait for them.
    """
    cores = os.sched_getaffinity(0)
    if len(cores) > 1:
        os.sched_setaffinity(pid, cores - {max(cores)})


def process_tree(pid: int) -> list[int]:
    """The process and all that it started, directly or not."""
    found = [pid]
    for parent in found:
        for task in (_PROC / str(parent) / "task").glob("*/children"):
            found += map(int, task.read_text().split())
    return found


def cpu_s(pids: Iterable[int]) -> float:
    """User and system time of processes, of their ended threads too, to the nanosecond.

    The utime and stime of /proc/PID/stat are this sum rounded to ticks of 10 ms.

    Source: clock_getcpuclockid(3), glibc's and Linux's layout of a clock id.
    """
    return sum(time.clock_gettime(~pid << 3 | _CLOCK_OF_SCHEDULER) for pid in pids)


def pss_octets(pids: Iterable[int]) -> int:
    """Memory that the processes would free by ending: shared pages count by their share."""
    return sum(_kilobytes(_PROC / str(pid) / "smaps_rollup", "Pss:") * 1024 for pid in pids)


def private_octets(pid: int) -> int:
    """Memory that a process shares with nobody: other processes that come and go leave it alone."""
    rollup = _PROC / str(pid) / "smaps_rollup"
    return 1024 * sum(_kilobytes(rollup, f"Private_{kind}:") for kind in ("Clean", "Dirty"))


def open_files(pids: Iterable[int]) -> OpenFiles:
    """Counts descriptors, as a leak of sockets would show."""
    targets = [_target(link) for pid in pids for link in (_PROC / str(pid) / "fd").iterdir()]
    return OpenFiles(len(targets), sum(target.startswith("socket:") for target in targets))


def udp_drops() -> int:
    """Datagrams that the machine's UDP sockets refused because their buffers were full."""
    lines = (_PROC / "net/udp").read_text().splitlines()[1:]
    return sum(int(line.split()[-1]) for line in lines)


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU time at one moment; the difference of two tells what a time between them cost.

    `waited_s` grows while any task on the machine, stranger or not, waits for a core.
    """

    at_s: float
    cpu_s: float
    waited_s: float

    @classmethod
    def now(cls, pid: int) -> Self:
        """Reads the clocks of a process tree and how crowded the whole machine is."""
        return cls(time.monotonic(), cpu_s(process_tree(pid)), _waited_s())


def _waited_s() -> float:
    """Time in which some task of the machine waited for a core; nan where the kernel is silent.

    Source: Linux Documentation/accounting/psi.rst.
    """
    try:
        some = (_PROC / "pressure/cpu").read_text().split("\n", 1)[0]
    except OSError:
        return float("nan")
    return int(some.rpartition("total=")[2]) / 1e6


def _kilobytes(path: Path, name: str) -> int:
    for line in path.read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1])
    return 0


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except FileNotFoundError:  # closed since the folder was listed
        return ""
