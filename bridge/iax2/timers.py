"""The timers of a call as a table, and the durations that they run for.

Durations are seconds. Knows no clock: `now` is always an argument.
"""

from enum import Enum, auto
from typing import Final

RETRANSMISSION_FIRST_S: Final = 0.5
RETRANSMISSION_MIN_S: Final = 0.25
RETRANSMISSION_MAX_S: Final = 10.0
RETRANSMISSIONS_MAX: Final = 4
HANDSHAKE_RETRANSMISSION_MAX_S: Final = 1.0
CHALLENGE_S: Final = 3.0
"""From NEW to AUTHREQ. Asterisk sends a lost AUTHREQ again after 2 s, and then not before 20 s."""
AUTHENTICATION_S: Final = 5.0
SETUP_S: Final = 8.0
PING_INTERVAL_S: Final = 21.0
LAGRQ_INTERVAL_S: Final = 10.0
PROBE_INTERVAL_S: Final = 10.0
"""Between PINGs that something in clear on an encrypted call makes us send."""
LINGER_S: Final = 10.0
CALL_NUMBER_QUARANTINE_S: Final = 60.0


class Timer(Enum):
    """What a call may be waiting for."""

    __hash__ = object.__hash__  # as that of State

    SETUP = auto()
    CHALLENGE = auto()
    AUTHENTICATION = auto()
    PING = auto()
    LAGRQ = auto()
    REKEY = auto()
    LINGER = auto()


class Timers:
    """Deadlines of one call.

    Attributes:
        next_at: The earliest one, None where nothing runs.
    """

    __slots__ = ("_deadlines", "next_at")

    def __init__(self) -> None:
        self._deadlines: dict[Timer, float] = {}
        self.next_at: float | None = None  # asked for with every frame, changed with few

    def __contains__(self, timer: Timer) -> bool:
        return timer in self._deadlines

    def start(self, timer: Timer, deadline: float) -> None:
        """Set or move a timer's deadline."""
        self._deadlines[timer] = deadline
        self._look()

    def stop(self, timer: Timer) -> None:
        """Forget a timer; one that does not run is fine."""
        self._deadlines.pop(timer, None)
        self._look()

    def stop_all(self) -> None:
        """Forget every timer."""
        self._deadlines.clear()
        self._look()

    def pop_expired(self, now: float) -> Timer | None:
        """Remove and return the timer that ran out first, None where none has."""
        if self.next_at is None or self.next_at > now:
            return None
        timer = min(self._deadlines, key=self._deadlines.__getitem__)
        self.stop(timer)
        return timer

    def _look(self) -> None:
        self.next_at = min(self._deadlines.values(), default=None)
