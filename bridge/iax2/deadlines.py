"""The order in which calls, and dialogs with peers beside calls, want to be served.

Whose deadline may have changed is looked at when the order is asked for: once, however often it
changed within a datagram. One that moved later, as with every acknowledgement, moves nothing here:
what is on file is looked at when its time has come, and is due or goes to its new place then. So
who waits is filed for each of its deadlines in turn, the earliest one last.
"""

from heapq import heapify, heappop, heappush
from itertools import count
from typing import Final, Protocol

ABANDONED_MAX: Final = 32
"""So many entries of those that wait for nothing any more are kept, or half of all."""


class Timed(Protocol):
    """What waits for deadlines: a call, or a dialog with a peer.

    Attributes:
        filed: The times that it is on file for, the latest one first; the order's own.
    """

    filed: list[float]

    def next_deadline(self) -> float | None:
        """Return when `handle_timeout` wants to be called."""

    def handle_timeout(self, now: float) -> None:
        """Act on what is due."""


class Deadlines:
    """Who is to be served when; `now` is an argument."""

    __slots__ = ("_abandoned", "_changed", "_heap", "_order")

    def __init__(self) -> None:
        self._changed: dict[Timed, None] = {}
        self._heap: list[tuple[float, int, Timed]] = []
        self._order = count()
        self._abandoned = 0

    def __len__(self) -> int:
        return len(self._heap) + len(self._changed)

    def file(self, waiting: Timed) -> None:
        """Have the next deadline looked at again, as it may have become earlier."""
        self._changed[waiting] = None

    def _file(self, waiting: Timed) -> None:
        deadline, filed = waiting.next_deadline(), waiting.filed
        if deadline is None:
            self._abandon(filed)
        elif not filed or deadline < filed[-1]:
            filed.append(deadline)
            heappush(self._heap, (deadline, next(self._order), waiting))

    def next(self) -> float | None:
        """Return when somebody is to be served, None where nobody waits."""
        if self._changed:
            for waiting in self._changed:
                self._file(waiting)
            self._changed.clear()
        while self._heap:
            at, _, waiting = self._heap[0]
            deadline = waiting.next_deadline()
            if deadline is not None and deadline <= at:
                return at
            self._pop()
            if deadline is not None:
                self._file(waiting)
        return None

    def pop_due(self, now: float) -> Timed | None:
        """Take who is to be served first, where the time has come."""
        at = self.next()
        return None if at is None or at > now else self._pop()

    def _pop(self) -> Timed:
        at, _, waiting = heappop(self._heap)
        filed = waiting.filed
        if filed and filed[-1] == at:
            filed.pop()
        else:
            self._abandoned -= 1
        return waiting

    def _abandon(self, filed: list[float]) -> None:
        """Leave the entries of who waits no more, but not too many: peers could pile them up."""
        self._abandoned += len(filed)
        filed.clear()
        if self._abandoned > max(ABANDONED_MAX, len(self._heap) // 2):
            self._heap = [entry for entry in self._heap if entry[0] in entry[2].filed]
            heapify(self._heap)
            self._abandoned = 0
