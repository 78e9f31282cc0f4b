"""A limit on log lines that strangers can cause. Knows neither the log nor what is logged."""

from __future__ import annotations


class LineLimit:
    """One line for each interval at most; what is held back is counted into the next one."""

    __slots__ = ("_held_back", "_interval_s", "_next_at")

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._next_at = float("-inf")
        self._held_back = 0

    def take(self, now: float) -> int:
        """How many events the line that is due now stands for; 0: no line is due."""
        self._held_back += 1
        if now < self._next_at:
            return 0
        events, self._held_back = self._held_back, 0
        self._next_at = now + self._interval_s
        return events
