"""Digits in timed slots: one burst of one shape for every number, then a slow steady clock.

Owns when a signal (digit, CONTROL or comfort noise) may leave after ANSWER. It does no I/O and
reads no clock: the driver sleeps until `next_slot_at()` and calls `take(now)`. Why the shape is
what it is:

- Count. Every call sends exactly `slots` frames, digits first and comfort noise (CNG) after them.
  On an encrypted link a digit and a CNG look the same: 36 octets, one ACK.
- Rhythm. A frame each `slot_ms` from a start drawn at random, never the rhythm of fingers.
- Reaction. The far end reacts to the terminator (media, CONTROL frames), so its place would tell
  the count. It stands in the last slot always.
- Afterwards. One slot each 500 ms until the end of the call, so that no key press, hold or
  far-end answer shows as an event of its own.
- The end. A burst that has begun is completed, however the call ends. Where the link wants a tail,
  up to four slots pass before the one that HANGUP takes: who sees it knows the phone's end to 2 s.

Nothing here may depend on the digits but the signals themselves. Times are a fixed grid: a late
wake-up does not shift the slots after it, and what a stall made us miss is never sent in a heap.
"""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from bridge.dialing.plan import DTMF_DIGITS

IN_CALL_SLOT_S: Final = 0.5
"""Asterisk emulates a digit as 100 ms and a gap of 45 ms: 150 ms or more must lie between two."""
PENDING_SIGNALS_MAX: Final = 32
GRID_S: Final = 0.1
"""Signals of all calls share points of time so far apart, so that what they cost is shared, too."""
TAIL_SLOTS: Final = 4
"""HANGUP leaves in one of the next four in-call slots, so within 2 s."""
_GRID_DIGITS: Final = 8
"""Times of a grid are rounded, so that the calls which share one have the very same floats."""


@dataclass(frozen=True, slots=True)
class Digit:
    """Send this DTMF digit as an END frame."""

    value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Cng:
    """Send comfort noise: nothing to say, and nothing to see."""


@dataclass(frozen=True, slots=True)
class Control:
    """Send a CONTROL frame of this subclass."""

    subclass: int


@dataclass(frozen=True, slots=True)
class Text:
    """Send a TEXT frame; up to seven octets of it show as any other signal does."""

    value: bytes


@dataclass(frozen=True, slots=True)
class HangUp:
    """End the call: nothing follows."""


Signal = Digit | Cng | Control | Text | HangUp
_NOTHING: Final = Cng()


@dataclass(frozen=True, slots=True)
class Envelope:
    """The one shape that all dialing on a link has.

    `start_ms` is the range of the delay from ANSWER to the first slot. The last slot holds the
    terminator, so `slots - 1` digits fit.
    """

    slots: int
    slot_ms: int
    start_ms: tuple[int, int]
    terminator: str

    @property
    def digits_max(self) -> int:
        """The longest number that fits."""
        return self.slots - 1

    @property
    def slot_s(self) -> float:
        """The length of a dialing slot in seconds."""
        return self.slot_ms / 1000

    def draw_start_delay_s(self, uniform: Callable[[float, float], float]) -> float:
        """Draw the start delay; give `secrets.SystemRandom().uniform` in real calls."""
        low_ms, high_ms = self.start_ms
        return uniform(low_ms / 1000, high_ms / 1000)

    def first_slot_at(self, earliest: float, slot_from: Callable[[float], float]) -> float:
        """Return when the burst begins, so that its last slot is the first of a point of the grid.

        Args:
            earliest: Not before this.
            slot_from: Returns when the call's first slot of audio begins from a time on.
        """
        burst_s = (self.slots - 1) * self.slot_s
        return round(slot_from(grid_point(earliest + burst_s)) - burst_s, _GRID_DIGITS)

    def schedule(self, digits: str) -> list[str | None]:
        """Lay a number out: digits first, None (CNG) after them, the terminator in the last slot.

        Raises:
            ValueError: The digits do not fit, or are no DTMF digits: `DialPlan` lets none through.
        """
        if len(digits) > self.digits_max or not DTMF_DIGITS.issuperset(digits):
            raise ValueError("digits that the dial plan should have refused")
        return [*digits, *[None] * (self.digits_max - len(digits)), self.terminator]


def grid_point(earliest: float) -> float:
    """Return the first point of time that the signals of many calls share, from a time on.

    A hundredth of the grid before a slot of audio, so that no rounding of floats decides on a slot.
    """
    return (math.ceil(earliest / GRID_S + 0.01) - 0.01) * GRID_S


def draw_tail_slots(uniform: Callable[[float, float], float]) -> int:
    """Draw how many slots pass before the HANGUP's; give it SystemRandom's `uniform`."""
    return min(int(uniform(0, TAIL_SLOTS)), TAIL_SLOTS - 1)


class SignalSlots:
    """The signal clock of one call, from ANSWER until its end. Times are `now` in seconds."""

    __slots__ = (
        "_dialing",
        "_grid_index",
        "_grid_origin",
        "_grid_step_s",
        "_next_at",
        "_pending",
        "_pending_max",
        "_slots_left",
        "dropped",
    )

    def __init__(
        self,
        envelope: Envelope,
        digits: str,
        first_slot_at: float,
        pending_max: int = PENDING_SIGNALS_MAX,
    ) -> None:
        self._dialing = deque(envelope.schedule(digits))
        self._slots_left: int | None = None
        self._pending: deque[Digit | Control | Text] = deque()
        self._pending_max = pending_max
        self._grid_origin = self._next_at = first_slot_at
        self._grid_step_s = envelope.slot_s
        self._grid_index = 0
        self.dropped = 0
        """Signals that found the queue full, came after `leave`, or were no DTMF digit."""

    @property
    def dialing_over(self) -> bool:
        """Whether the last slot of the dialing, the terminator's, has been taken."""
        return not self._dialing

    def leave(self, tail_slots: int = 0) -> None:
        """End the call in a slot to come: CNG from here on, no terminator. Twice: no effect.

        A burst that has begun is completed; then, or at once, `tail_slots` in-call slots pass, and
        the next one is HANGUP's.
        """
        if self._slots_left is None:
            self._slots_left = len(self._dialing) + tail_slots
            self._dialing = deque([None] * len(self._dialing))
            self._pending.clear()

    def offer_digit(self, digit: str) -> bool:
        """Queue a digit of the call in progress; False: dropped and counted."""
        if digit not in DTMF_DIGITS:
            self.dropped += 1
            return False
        return self._offer(Digit(digit))

    def offer_control(self, subclass: int) -> bool:
        """Queue a CONTROL frame; False: dropped and counted."""
        return self._offer(Control(subclass))

    def offer_text(self, value: bytes) -> bool:
        """Queue a TEXT frame; False: dropped and counted."""
        return self._offer(Text(value))

    def _offer(self, signal: Digit | Control | Text) -> bool:
        if self._slots_left is not None or len(self._pending) >= self._pending_max:
            self.dropped += 1
            return False
        self._pending.append(signal)
        return True

    def next_slot_at(self) -> float:
        """When the next signal leaves; there always is one."""
        return self._next_at

    def take(self, now: float) -> Signal:
        """Take the one signal of the slot that has come, and move on to the next.

        Raises:
            ValueError: The slot has not come yet.
        """
        if now < self._next_at:
            raise ValueError("this slot has not come yet")
        signal = self._next_signal()
        self._advance(now)
        return signal

    def _next_signal(self) -> Signal:
        if self._slots_left is not None:
            self._slots_left -= 1
            if self._slots_left < 0:
                return HangUp()
        if not self._dialing:
            return self._pending.popleft() if self._pending else _NOTHING
        digit = self._dialing.popleft()
        if not self._dialing:
            # From the terminator's place on the slow clock runs, on a grid that starts here.
            self._grid_origin = self._next_at
            self._grid_index = 0
            self._grid_step_s = IN_CALL_SLOT_S
        return _NOTHING if digit is None else Digit(digit)

    def _advance(self, now: float) -> None:
        # At least half a slot lies between two frames. A stall costs grid places, never frames:
        # the dialing ends later by the places missed, for every number alike.
        origin, step_s = self._grid_origin, self._grid_step_s
        self._grid_index = index = max(
            self._grid_index + 1, math.ceil((now - origin) / step_s + 0.5)
        )
        next_at = origin + index * step_s
        self._next_at = round(next_at, _GRID_DIGITS) if self._dialing else next_at
