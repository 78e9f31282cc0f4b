"""The peer's timestamps: what a frame that arrives now should carry.

Knows nothing of frames; `now` is seconds, timestamps are milliseconds modulo 2**32.
"""

from typing import Final

TIMESTAMP_MODULUS: Final = 1 << 32
MINI_MODULUS: Final = 1 << 16

_HALF_FULL: Final = TIMESTAMP_MODULUS // 2
_HALF_MINI: Final = MINI_MODULUS // 2
_DRIFT_GAIN: Final = 1 / 16


class ReceiveClock:
    """Maps our clock to the peer's call timestamps, and follows its drift.

    Full frames set it, voice frames correct it slowly: 200 ppm of drift over a day would
    otherwise leave any window. What was sent again or held back tells no time, but the least.
    """

    __slots__ = ("_offset_ms",)

    def __init__(self) -> None:
        self._offset_ms: float | None = None

    @property
    def is_set(self) -> bool:
        """Whether the peer's time is known at all."""
        return self._offset_ms is not None

    def set(self, timestamp_ms: int, now: float) -> None:
        """Take the timestamp of a frame that arrived just now as the peer's time."""
        self._offset_ms = timestamp_ms - now * 1000

    def hear(self, timestamp_ms: int, now: float) -> None:
        """Take a timestamp as the least that the peer's time can be.

        Nothing arrives before it was sent, whereas much can make a frame late.
        """
        if not self.is_set or self.deviation_ms(timestamp_ms, now) > 0:
            self.set(timestamp_ms, now)

    def expected_ms(self, now: float) -> int:
        """Return the 32-bit timestamp that the peer would write now; 0 while unknown."""
        if self._offset_ms is None:
            return 0
        return int(now * 1000 + self._offset_ms) % TIMESTAMP_MODULUS

    def deviation_ms(self, timestamp_ms: int, now: float) -> int:
        """Return how far ahead of (positive) or behind its time a 32-bit timestamp is."""
        difference = timestamp_ms - self.expected_ms(now)
        return (difference + _HALF_FULL) % TIMESTAMP_MODULUS - _HALF_FULL

    def unwrap(self, mini_timestamp_ms: int, now: float) -> tuple[int, int]:
        """Return the 32-bit timestamp nearest to its time, and its deviation in ms."""
        offset_ms = self._offset_ms
        expected_ms = 0 if offset_ms is None else int(now * 1000 + offset_ms)
        deviation_ms = (mini_timestamp_ms - expected_ms + _HALF_MINI) % MINI_MODULUS - _HALF_MINI
        return (expected_ms + deviation_ms) % TIMESTAMP_MODULUS, deviation_ms

    def follow(self, deviation_ms: int) -> None:
        """Correct by part of what a believed voice frame deviated."""
        if self._offset_ms is not None:
            self._offset_ms += deviation_ms * _DRIFT_GAIN
