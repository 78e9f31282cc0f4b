"""Tells when the machine was late: the kernel's own count of time that processes spent waiting.

A process that is ready to run but gets no CPU adds to its run delay (/proc/PID/schedstat, second
figure); a machine that stands still as a whole shows as a wake-up that comes late. Neither tells of
a bridge that is slow itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import trio

SAMPLE_S = 0.05
LATE_S = 0.01
"""Half of the one frame that a reorder buffer aims at; the other half is the phone's and ours."""


@dataclass
class StallWatch:
    """Notes when any of some processes was kept waiting for a CPU.

    Attributes:
        pids: The processes to watch; few, for each look takes time from the phone.
        late_at_s: When that was seen, on trio's clock.
        late_s: How long that was in all.
    """

    pids: Sequence[int]
    late_at_s: list[float] = field(default_factory=list, repr=False)
    late_s: float = 0.0

    async def run(self) -> None:
        """Samples until cancelled."""
        waited_s = self._waited_s()
        while True:
            due_s = trio.current_time() + SAMPLE_S
            await trio.sleep_until(due_s)
            woken_s = trio.current_time()
            before_s, waited_s = waited_s, self._waited_s()
            delays_s = [after - before for after, before in zip(waited_s, before_s, strict=True)]
            if (late_s := max([woken_s - due_s, *delays_s])) > LATE_S:
                self.late_at_s.append(woken_s)
                self.late_s += late_s

    def _waited_s(self) -> list[float]:
        return [_run_delay_s(Path(f"/proc/{pid}/schedstat")) for pid in self.pids]


def _run_delay_s(path: Path) -> float:
    try:
        return int(path.read_text().split()[1]) / 1e9
    except OSError:  # the process has ended, or the kernel does not count
        return 0.0
