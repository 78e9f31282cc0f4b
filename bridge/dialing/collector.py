"""Collects the digits that a caller sends, until they are a number: pure, no clock of its own.

Owns when a number is complete and when it never will be. The driver gives it each digit, and comes
back at `deadline`. A number is a secret: it is in no repr.

Source: what Asterisk's Read() does, which ends at a terminator or when no digit follows; but a
number that is too long is refused here, rather than cut.
"""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

DIGITS_MAX: Final = 64
"""The longest number that may be configured; a dial plan matches no longer one."""


class Collection(Enum):
    """How far the digits of a call have come."""

    OPEN = auto()
    COMPLETE = auto()
    EMPTY = auto()
    """No digit came, or the terminator alone."""
    TOO_LONG = auto()


@dataclass(frozen=True, slots=True)
class CollectionLimits:
    """When digits are complete.

    Attributes:
        terminator: The digit that ends a number and is no part of it.
        digits_max: The longest number.
        inter_digit_s: After so long without another digit the number is complete.
        total_s: After so long since the start it is complete, whatever else comes.
    """

    terminator: str
    digits_max: int
    inter_digit_s: float
    total_s: float


class DigitCollector:
    """The digits of one call. Times are `now` in seconds.

    Attributes:
        state: OPEN until the end, which nothing changes any more.
    """

    __slots__ = ("_deadline", "_digits", "_limits", "_total_at", "state")

    def __init__(self, limits: CollectionLimits, started_at: float) -> None:
        self.state = Collection.OPEN
        self._limits = limits
        self._digits = ""
        self._total_at = self._deadline = started_at + limits.total_s

    def __repr__(self) -> str:
        return f"<DigitCollector {self.state.name}>"

    @property
    def deadline(self) -> float:
        """When `expire` is due, as long as the state is OPEN; each digit moves it."""
        return self._deadline

    def receive(self, digit: str, now: float) -> Collection:
        """Take a digit; what comes after the end is not taken."""
        if self.state is not Collection.OPEN:
            return self.state
        if digit == self._limits.terminator:
            self._end()
        elif len(self._digits) == self._limits.digits_max:
            self.state = Collection.TOO_LONG
            self._digits = ""
        else:
            self._digits += digit
            self._deadline = min(now + self._limits.inter_digit_s, self._total_at)
        return self.state

    def expire(self, now: float) -> Collection:
        """End the collection if its time is over."""
        if self.state is Collection.OPEN and now >= self._deadline:
            self._end()
        return self.state

    def take(self) -> str:
        """Return the digits, and keep them no longer."""
        digits, self._digits = self._digits, ""
        return digits

    def _end(self) -> None:
        self.state = Collection.COMPLETE if self._digits else Collection.EMPTY
