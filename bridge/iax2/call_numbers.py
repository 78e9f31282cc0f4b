"""Local call numbers: random, and at rest for a minute after use."""

from collections import deque

from bridge.iax2.cipher import Entropy
from bridge.iax2.constants import CALL_NUMBER_MAX, CALL_NUMBER_STATELESS
from bridge.iax2.errors import LocalProtocolError
from bridge.iax2.timers import CALL_NUMBER_QUARANTINE_S

_FIRST = CALL_NUMBER_STATELESS + 1
_COUNT = CALL_NUMBER_MAX - CALL_NUMBER_STATELESS


class CallNumbers:
    """Hands out call numbers from 2 to 32767.

    A number comes back 60 s after its release, so that late frames of the old call meet nobody:
    at most 32,766 calls in a minute.
    """

    def __init__(self, entropy: Entropy) -> None:
        self._entropy = entropy
        self._taken: set[int] = set()
        self._resting: deque[tuple[float, int]] = deque()

    @property
    def taken(self) -> int:
        """How many numbers are in use or at rest."""
        return len(self._taken)

    @property
    def in_use(self) -> int:
        """How many numbers belong to a call."""
        return len(self._taken) - len(self._resting)

    def allocate(self, now: float) -> int:
        """Return a free number.

        Raises:
            LocalProtocolError: all numbers are in use or at rest.
        """
        while self._resting and self._resting[0][0] <= now:
            self._taken.discard(self._resting.popleft()[1])
        if len(self._taken) >= _COUNT:
            raise LocalProtocolError("no IAX2 call number is free")
        number = int.from_bytes(self._entropy(2), "big") % _COUNT + _FIRST
        while number in self._taken:
            number = number + 1 if number < CALL_NUMBER_MAX else _FIRST
        self._taken.add(number)
        return number

    def release(self, number: int, now: float) -> None:
        """Put a number to rest."""
        self._resting.append((now + CALL_NUMBER_QUARANTINE_S, number))
