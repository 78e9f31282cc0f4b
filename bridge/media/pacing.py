"""Time toward the link: a small reorder buffer, and the clock that empties it.

What arrives from a phone is late, early, doubled or missing; what leaves toward the link is one
frame each 20 ms. The buffer stands between the two. Neither knows sockets, RTP headers or IAX2.
"""

import math
from collections.abc import Iterator
from typing import Final

FRAME_MS: Final = 20
PHASES: Final = 4
CATCH_UP_SLOTS: Final = 5
"""Slots that are made up for after a stall; older ones are skipped."""
BATCH_CALLS: Final = 64
"""A phase in use is filled so far before another one is woken for: each costs 50 wake-ups/s."""

_NEAR_PHASES: Final = 2
_MARGIN_S: Final = 0.0035
"""What a packet may be later than the one that a phase was chosen by."""
_FRAMES_MAX: Final = 3
_RING: Final = 4
_RING_MASK: Final = _RING - 1
_SEQUENCE_MASK: Final = 0xFFFF
_HALF_SEQUENCE: Final = 0x8000
_RESTART_FRAMES: Final = 100
PATIENCE_PULLS: Final = 250
PATIENCE_MAX_PULLS: Final = 1500
"""5 s at first, and 30 s in the end: a buffer that is shallower after each quiet moment loses a
frame at the next late one."""
DEEP_PULLS_MIN: Final = 3
"""So many in a row leave more behind than what is left of a packet of 60 ms, or of a burst."""

NO_AUDIO: Final = b""
"""What a sequence number that carries no audio (a digit's) puts into the buffer."""


class ReorderBuffer:
    """At most three frames of one phone, in order of their sequence numbers.

    One frame waiting is the target. A frame that misses its pull leaves the buffer one deeper,
    which later jitter then fits into; when each pull of 5 s has left one behind, one is dropped,
    and the next time it takes twice as long, up to 30 s. So what happens once is soon forgotten, a
    phone that is late time and again keeps its depth, and a drifting clock shows as a frame skipped
    or filled in now and then.

    Attributes:
        underruns: Pulls that found nothing to play.
        late: Frames whose turn had passed, or that came twice.
        overruns: Frames dropped because three were waiting.
        slips: Frames dropped to return to the target.
    """

    __slots__ = (
        "_deep_pulls",
        "_frames",
        "_head",
        "_held",
        "_idle",
        "_owed",
        "_patience",
        "late",
        "overruns",
        "slips",
        "underruns",
    )

    def __init__(self) -> None:
        self.underruns = self.late = self.overruns = self.slips = 0
        self._patience = PATIENCE_PULLS
        self.clear()

    def clear(self) -> None:
        """Forget what waits; the next packet, whatever its number, is the first."""
        self._frames: list[bytes | None] = [None] * _RING
        self._head = 0  # number of the next frame to be played
        self._held = 0  # frames waiting
        self._idle = True  # no packet yet, so `_head` means nothing
        self._owed = 0  # pulls answered by silence, whose frames need not be waited for again
        self._deep_pulls = 0  # in a row, each of which has left a frame behind

    def put(self, sequence: int, frame: bytes) -> None:
        """Take the frame of an RTP sequence number, or NO_AUDIO; whatever the number is."""
        ahead = (sequence - self._head + _HALF_SEQUENCE & _SEQUENCE_MASK) - _HALF_SEQUENCE
        if self._idle or not -_RESTART_FRAMES < ahead < _RESTART_FRAMES:
            self._begin_at(sequence)
        elif ahead < 0:
            self.late += 1
            return
        elif ahead >= _FRAMES_MAX:
            self._skip(ahead - _FRAMES_MAX + 1)
        index = sequence & _RING_MASK
        if self._frames[index] is not None:
            self.late += 1
            return
        self._frames[index] = frame
        self._held += 1

    def pull(self) -> bytes | None:
        """Return the next frame, or None: silence is due.

        A missing number is waited for once, by silence; after that its turn has passed.
        """
        frames = self._frames
        while True:
            head = self._head
            frame = frames[head & _RING_MASK]
            if frame:
                break
            if frame is None and not (self._held and self._owed):
                self._owed = min(self._owed + 1, _FRAMES_MAX)
                self._deep_pulls = 0
                self.underruns += 1
                return None
            self._pass_over(frame)
        frames[head & _RING_MASK] = None
        self._head = head + 1 & _SEQUENCE_MASK
        self._held = held = self._held - 1
        self._deep_pulls = self._deep_pulls + 1 if held else 0
        if self._deep_pulls >= self._patience:
            self.shrink()
            self._patience = min(2 * self._patience, PATIENCE_MAX_PULLS)
        return frame

    def _pass_over(self, frame: bytes | None) -> None:
        """Leave out a number without audio, or a lost one whose time passed as silence."""
        if frame is None:
            self._owed -= 1
        else:
            self._frames[self._head & _RING_MASK] = None
            self._held -= 1
        self._head = self._head + 1 & _SEQUENCE_MASK

    def _skip(self, numbers: int) -> None:
        """Make room at the newer end: speech that cannot be played in time is dropped."""
        for _ in range(min(numbers, _FRAMES_MAX)):
            self.overruns += self._drop_oldest()
        self._head = self._head + max(numbers - _FRAMES_MAX, 0) & _SEQUENCE_MASK

    def _drop_oldest(self) -> bool:
        """Move on by one number; True when a frame was there to be dropped."""
        index = self._head & _RING_MASK
        found = self._frames[index] is not None
        self._frames[index] = None
        self._held -= found
        self._head = self._head + 1 & _SEQUENCE_MASK
        return found

    def _begin_at(self, sequence: int) -> None:
        """Begin, or begin anew: the phone jumped to other numbers (RFC 3550 appendix A.1)."""
        self.clear()
        self._idle = False
        self._head = sequence

    def shrink(self) -> None:
        """Drop a frame if the last pulls could have done without it."""
        if self._deep_pulls >= DEEP_PULLS_MIN:
            self.slips += self._drop_oldest()
            self._owed = self._deep_pulls = 0


class PhaseClock:
    """A grid of absolute times: a few phases, and slots of 20 ms in each.

    Slot `k` of phase `p` begins at `k * 20 ms + p * 5 ms` on the caller's clock. Slots are
    integers, so that no wake-up's lateness ever adds up. A phase runs while it has calls.

    Attributes:
        skipped_slots: Slots of a running phase that were too old to be made up for.
    """

    __slots__ = ("_calls", "_next_slot", "_phases", "_steps_per_s", "skipped_slots")

    def __init__(self, phases: int = PHASES) -> None:
        self._phases = phases
        self._steps_per_s = phases * 1000 / FRAME_MS
        self._calls = [0] * phases
        self._next_slot = [0] * phases
        self.skipped_slots = 0

    def choose(self, arrived_at: float | None) -> int:
        """Return the phase for a call.

        A running phase that is not full is preferred: another one would cost wake-ups.

        Args:
            arrived_at: When a packet of the phone came, if any: a frame of it then waits 3.5 to 8.5
                ms for its slot, or up to 13.5 where that saves wake-ups.
        """
        calls = self._calls
        first, count = 0, self._phases
        if arrived_at is not None:
            first, count = self._step_close_to(arrived_at), _NEAR_PHASES
        phases = [step % self._phases for step in range(first, first + count)]
        for phase in phases:
            if 0 < calls[phase] < BATCH_CALLS:
                return phase
        if arrived_at is None:
            return min(phases, key=calls.__getitem__)
        few = sum(calls) < BATCH_CALLS  # which share every other phase
        return phases[1] if few and phases[0] % 2 else phases[0]

    def join(self, phase: int, now: float) -> None:
        """Add a call to a phase, from the slot after the one that has begun."""
        if self._calls[phase] == 0:
            self._next_slot[phase] = self.slot_begun(phase, now) + 1
        self._calls[phase] += 1

    def leave(self, phase: int) -> None:
        """Take a call out of its phase."""
        self._calls[phase] -= 1

    def has_run(self, phase: int, slot: int) -> bool:
        """Tell whether `due` has yielded a slot, or one after it, to the calls of a phase."""
        return bool(self._calls[phase]) and slot < self._next_slot[phase]

    def slot_begun(self, phase: int, now: float) -> int:
        """Return the number of the phase's slot that has begun last."""
        return (self._step(now) - phase) // self._phases

    def _step(self, now: float) -> int:
        # A timer set for a slot must find it begun, so a thousandth of a step is forgiven.
        return math.floor(now * self._steps_per_s + 0.001)

    def _step_close_to(self, arrived_at: float) -> int:
        return math.ceil((arrived_at + _MARGIN_S) * self._steps_per_s)

    def begin_of(self, phase: int, slot: int) -> float:
        """Return when a slot of a phase begins."""
        return (slot * self._phases + phase) / self._steps_per_s

    def slot_close_to(self, phase: int, arrives_at: float) -> int:
        """Return the number of the phase's first slot that takes a packet which arrives then."""
        return -((phase - self._step_close_to(arrives_at)) // self._phases)

    def slot_from(self, phase: int, when: float) -> float:
        """Return when the first slot of a phase begins that does not begin before `when`."""
        step = math.ceil((when * self._steps_per_s - phase) / self._phases) * self._phases + phase
        return step / self._steps_per_s

    def next_tick(self) -> float | None:
        """Return when the next slot of any running phase begins, None while none runs."""
        steps = [
            slot * self._phases + phase
            for phase, slot in enumerate(self._next_slot)
            if self._calls[phase]
        ]
        return min(steps) / self._steps_per_s if steps else None

    def due(self, now: float) -> Iterator[tuple[int, range]]:
        """Yield each running phase with its slots that have begun since the last time."""
        step = self._step(now)
        for phase, calls in enumerate(self._calls):
            begun = (step - phase) // self._phases
            first = self._next_slot[phase]
            if not calls or begun < first:
                continue
            oldest = max(first, begun - CATCH_UP_SLOTS + 1)
            self.skipped_slots += oldest - first
            self._next_slot[phase] = begun + 1
            yield phase, range(oldest, begun + 1)
