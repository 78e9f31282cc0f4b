"""What times alone tell of signals: bursts of small encrypted frames and the digits they suggest.

Pure: takes times, knows nothing of frames.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Final

BURST_MIN: Final = 3
_PAUSE_NS: Final = 1_500_000_000
"""A pause that ends a burst: people who dial by hand are faster."""
_SLOWER: Final = 4
"""A pause this many times the usual ends a burst too, once the usual is known."""
_KNOWN: Final = 8
_FASTEST_NS: Final = 15_000_000
"""Nobody dials faster: what comes closer are answers and retransmissions."""
_TOLERANCE: Final = 0.25
_STEADY: Final = 0.9
_OFF_MAX: Final = 2
"""A clock may be off so often: HANGUP, and a frame sent again, have its size too."""
_ENVELOPE_MIN: Final = 20
_PAIRED: Final = 1.5


@dataclass(frozen=True, slots=True)
class Burst:
    """Frames close to each other; `spacing_ms` is the median from one to the next.

    Attributes:
        at_ns: Of the first frame.
        frames: How many there are.
        spacing_ms: The median time from one to the next.
        steady: Whether nine in ten, or all but two, come at that spacing, as from a clock.
        digits: How many digits they suggest: one each two frames where they come in pairs, as
            BEGIN and END of each digit do.
    """

    at_ns: int
    frames: int
    spacing_ms: float
    steady: bool
    digits: int

    @property
    def is_envelope(self) -> bool:
        """Whether it looks like a burst of fixed shape rather than like dialing."""
        return self.steady and self.frames >= _ENVELOPE_MIN


def bursts_of(times_ns: Sequence[int]) -> list[Burst]:
    """Return the bursts among frames, given when each was sent, in order."""
    found: list[Burst] = []
    group: list[int] = []
    for at_ns in times_ns:
        if group and _ends_burst(group, at_ns):
            _add(found, group)
            group = []
        group.append(at_ns)
    _add(found, group)
    return found


def _ends_burst(group: list[int], at_ns: int) -> bool:
    gap_ns = at_ns - group[-1]
    mean_ns = (group[-1] - group[0]) / max(len(group) - 1, 1)
    return gap_ns > _PAUSE_NS or (len(group) > _KNOWN and gap_ns > _SLOWER * mean_ns)


def _add(found: list[Burst], group: list[int]) -> None:
    gaps = [later - earlier for earlier, later in pairwise(group)]
    while len(gaps) >= BURST_MIN and gaps[0] > _SLOWER * median(gaps):
        group, gaps = group[1:], gaps[1:]  # what came long before does not belong to it
    if len(group) < BURST_MIN:
        return
    usual = median(gaps)
    if usual < _FASTEST_NS:
        return
    near = sum(abs(gap - usual) <= _TOLERANCE * usual for gap in gaps)
    off = len(gaps) - near
    steady = off <= (1 - _STEADY) * len(gaps) or (len(gaps) >= _KNOWN - 1 and off <= _OFF_MAX)
    found.append(Burst(group[0], len(group), usual / 1e6, steady, _digits(gaps, len(group))))


def _digits(gaps: list[int], frames: int) -> int:
    within, between = gaps[::2], gaps[1::2]
    in_pairs = frames % 2 == 0 and between and median(between) > _PAIRED * median(within)
    return frames // 2 if in_pairs else frames
