"""What a gateway takes while no stranger shares its core.

On a rented machine the other half of a core may belong to somebody else, who is in no statistic of
ours. While they use it all CPU time buys less, down to half; they come and go within seconds. So a
window is read in slices, and at each end a short piece of work is timed on the gateway's core. The
quiet slices are those at whose ends that work took about as little as it ever did: they are chosen
by it alone, never by what the gateway took.
"""

import math
import os
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, NamedTuple, Self

from tests.bench.usage import cpu_s, process_tree

SLICE_S: Final = 0.2
TOLERANCE: Final = 1.15
"""Of a probe, against the fastest one: a shared core takes 1.4 to 2 times as long."""
QUIET_MIN_S: Final = 1.0
"""Less quiet time than that tells nothing."""
_PROBE_NUMBERS: Final = 50_000
_PROBE_TURNS: Final = 2


class Slice(NamedTuple):
    """A piece of time: its begin (monotonic clock), its length, the gateway's CPU time within.

    `probe_ms` is the slower one of the probes at its two ends.
    """

    at_s: float
    seconds: float
    cpu_s: float
    probe_ms: float


def probe_ms() -> float:
    """CPU milliseconds of a short piece of work, the fastest of a few turns."""
    took = []
    for _ in range(_PROBE_TURNS):
        begin = time.thread_time()
        sum(range(_PROBE_NUMBERS))
        took.append(time.thread_time() - begin)
    return 1000 * min(took)


def within(slices: Iterable[Slice], begin_s: float, end_s: float) -> list[Slice]:
    """The slices that lie between two moments of the monotonic clock, all of them."""
    return [part for part in slices if begin_s <= part.at_s <= end_s - part.seconds]


def fastest_ms(windows: Iterable[Sequence[Slice]]) -> float:
    """What a probe takes on a core that nobody shares: the least of a run; nan without a slice."""
    return min((part.probe_ms for slices in windows for part in slices), default=math.nan)


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU milliseconds for each call: over all of a window, and over its quiet slices.

    Attributes:
        all_ms: nan where it could not be measured.
        quiet_ms: nan where less than `QUIET_MIN_S` were quiet.
        quiet_share: Of the time, 0 to 1.
    """

    all_ms: float
    quiet_ms: float
    quiet_share: float

    @classmethod
    def of(cls, all_ms: float, slices: Sequence[Slice], fastest: float, calls: float) -> Self:
        """Sums up the quiet slices, in which there were `calls` a second, or that many came."""
        found = [part for part in slices if part.probe_ms <= TOLERANCE * fastest]
        seconds = sum(part.seconds for part in found)
        if seconds < QUIET_MIN_S or not calls:
            return cls(all_ms, math.nan, 0.0)
        quiet_ms = 1000 * sum(part.cpu_s for part in found) / seconds / calls
        return cls(all_ms, quiet_ms, seconds / sum(part.seconds for part in slices))

    @property
    def best_ms(self) -> float:
        """Of the quiet slices, or else of all."""
        return self.all_ms if math.isnan(self.quiet_ms) else self.quiet_ms

    def against(self, other: Self) -> float:
        """How many times the other one: in quiet slices where both have them."""
        quiet = self.quiet_ms / other.quiet_ms
        return self.all_ms / other.all_ms if math.isnan(quiet) else quiet


class Slicer:
    """Reads slices of a process tree's time in a thread of its own, while it is open."""

    def __init__(self, pid: int, every_s: float = SLICE_S) -> None:
        self._pid, self._every_s = pid, every_s
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self.slices: list[Slice] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._thread.join()

    def _read(self) -> None:
        with suppress(OSError):  # the gateway ended: whoever measures it will notice
            os.sched_setaffinity(0, {min(os.sched_getaffinity(self._pid))})  # this thread's alone
            probe, at_s, used_s = self._look()
            while not self._closed.wait(self._every_s):
                before, since_s, used_before_s = probe, at_s, used_s
                probe, at_s, used_s = self._look()
                self.slices.append(
                    Slice(
                        at_s=round(since_s, 3),
                        seconds=round(at_s - since_s, 4),
                        cpu_s=round(used_s - used_before_s, 5),
                        probe_ms=round(max(before, probe), 3),
                    )
                )

    def _look(self) -> tuple[float, float, float]:
        return probe_ms(), time.monotonic(), cpu_s(process_tree(self._pid))
