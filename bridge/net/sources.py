"""What the audio tasks wait for: descriptors and alarms, and two ways to wait for them.

Anywhere, and in virtual time, trio waits: a task for each of them. In the service, where one wake
of trio costs as much as relaying twenty packets, a single task waits in an epoll object of its own
for as long as no other task has anything to do. That object holds trio's own one too, so it wakes
whenever trio would have, and goes back to trio then.

Owns waiting, and nothing of what happens then. Linux alone.
"""

import math
import socket
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from select import EPOLLIN, epoll
from typing import Final

import trio
from trio._core._run import (  # trio.testing brings pytest along
    GLOBAL_RUN_CONTEXT,
    wait_all_tasks_blocked,
)

from bridge.errors import BridgeError
from bridge.net.alarm import Alarm

_EVENTS_MAX: Final = 8
_PROBE_PASSES_MAX: Final = 10
_BUSY_S: Final = 0.0025
"""How long other tasks may keep audio waiting, however much they have to do."""
_WAIT_MAX_S: Final = 60.0
"""Where nothing has a deadline: an epoll object cannot be told to wait for infinity."""


@dataclass(frozen=True, slots=True)
class Sources:
    """What wakes a driver, and what to call then with `now` in seconds.

    Attributes:
        readable: By descriptor.
        alarms: Each with what it rings; that sets its next deadline.
    """

    readable: Mapping[int, Callable[[float], object]]
    alarms: tuple[tuple[Alarm, Callable[[float], object]], ...]

    def joined(self, other: "Sources") -> "Sources":
        """Return both together."""
        return Sources({**self.readable, **other.readable}, self.alarms + other.alarms)

    async def run(self) -> None:
        """Serve them by trio's own means, until cancelled."""
        async with trio.open_nursery() as nursery:
            for alarm, ring in self.alarms:
                nursery.start_soon(alarm.run, ring)
            for descriptor, handle in self.readable.items():
                nursery.start_soon(_wait_for, descriptor, handle)

    async def run_in_idle_time(self, around: AbstractContextManager[object] | None = None) -> None:
        """Serve them in the time that no other task needs, until cancelled.

        Args:
            around: Entered behind each wait, for all that is done about what came.

        Raises:
            BridgeError: trio waits by other means than an epoll object.
        """
        around = around or nullcontext()
        with epoll() as waiting:
            trios = await _descriptor_of_trio()
            for descriptor in (trios, *self.readable):
                waiting.register(descriptor, EPOLLIN)
            while True:
                with trio.move_on_after(_BUSY_S) as busy:
                    # Also tells that nobody else has a turn left in this pass of trio.
                    await wait_all_tasks_blocked()
                if busy.cancelled_caught:
                    self._settle(math.inf)
                    ready = waiting.poll(0, _EVENTS_MAX)
                    with around:
                        self._serve(ready, trios)
                    continue
                others_wait = False
                while not others_wait:
                    others_wait = self._serve_idle(waiting, trios, around)

    def _serve_idle(
        self, waiting: epoll, trios: int, around: AbstractContextManager[object]
    ) -> bool:
        """Wait once and act on it; True where other tasks have to be let run."""
        # trio's statistics tell the same, but take longer to make than all else of a wake.
        runner = GLOBAL_RUN_CONTEXT.runner
        if runner.runq:
            return True
        others_at = runner.deadlines.next_deadline()
        due_at = self._settle(others_at)
        now = runner.clock.current_time()
        timeout_s = min(max(due_at - now, 0), _WAIT_MAX_S)
        ready = waiting.poll(timeout_s, _EVENTS_MAX)
        with around:
            return self._serve(ready, trios) or others_at <= now

    def _settle(self, due_at: float) -> float:
        """Return the earliest deadline: an alarm's, or that given."""
        for alarm, _ in self.alarms:
            if (at := alarm.settle()) < due_at:
                due_at = at
        return due_at

    def _serve(self, ready: Iterable[tuple[int, int]], trios: int) -> bool:
        """Act on what came; True where something has come for trio, too."""
        now = GLOBAL_RUN_CONTEXT.runner.clock.current_time()
        for alarm, ring in self.alarms:
            if alarm.deadline <= now:
                alarm.set(None)
                ring(now)
        is_trios = False
        for descriptor, _ in ready:
            if descriptor == trios:
                is_trios = True
            else:
                self.readable[descriptor](now)
        return is_trios


async def _wait_for(descriptor: int, handle: Callable[[float], object]) -> None:
    while True:
        await trio.lowlevel.wait_readable(descriptor)
        handle(trio.current_time())
        await trio.lowlevel.checkpoint()


async def _descriptor_of_trio() -> int:
    """Find the epoll object that trio waits in: the one that watches a socket of ours."""
    probe, other_end = socket.socketpair()
    with probe, other_end:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.lowlevel.wait_readable, probe)
            found = None
            for _ in range(_PROBE_PASSES_MAX):
                await trio.lowlevel.checkpoint()
                found = _epoll_watching(probe.fileno())
                if found is not None:
                    break
            nursery.cancel_scope.cancel()
    if found is None:
        raise BridgeError("trio does not wait by epoll here: Linux is needed")
    return found


def _epoll_watching(descriptor: int) -> int | None:
    """Return the epoll object whose list holds a descriptor (proc(5), /proc/PID/fdinfo)."""
    for opened in Path("/proc/self/fdinfo").iterdir():
        try:
            lines = opened.read_text().splitlines()
        except OSError:
            continue  # the descriptor of this very listing
        if any(line.split()[:2] == ["tfd:", str(descriptor)] for line in lines):
            return int(opened.name)
    return None
