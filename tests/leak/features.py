"""What a listener can measure of a call: sizes, directions, times to 1 ms and counts.

Two views: both directions of the link, and the frames that we send alone.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from tests.leak.calls import WATCHED_S, Seen

SIZES: Final = (36, 52, 68, 194, 196)
"""Sizes of a mu-law call's frames; all others count as one more."""
FULL_FRAMES: Final = 64
"""How many full frames of each direction are looked at one by one: the whole dialing, and more."""
BIN_MS: Final = 250
ABSENT: Final = -1.0
_BINS: Final = int(WATCHED_S * 1000) // BIN_MS
_VIEWS: Final = {"both directions": (True, False), "ours alone": (True,)}
VIEWS: Final = tuple(_VIEWS)


def features_of(seen: Sequence[Seen], view: str) -> list[float]:
    """The features of one call in a view, always as many and in the same order.

    Times count from the first audio that we send, which is the answer, and from NEW.
    """
    answer_ms = next((each.at_ms for each in seen if each.ours and not each.full), 0)
    features: list[float] = [answer_ms]
    sides = {ours: [each for each in seen if each.ours is ours] for ours in _VIEWS[view]}
    for side in sides.values():
        features += _counts(side)
        features += _bins(side, answer_ms)
        features += _full_frames(side, answer_ms)
        features += _audio(side, answer_ms)
    if len(sides) > 1:
        features += _echoes(sides[True], sides[False])
    return features


def _counts(side: Sequence[Seen]) -> list[float]:
    counted = Counter(each.octets if each.octets in SIZES else 0 for each in side)
    full = Counter(each.full for each in side)
    octets = sum(each.octets for each in side)
    sizes = [counted[size] for size in (0, *SIZES)]
    return [float(count) for count in (*sizes, full[True], full[False], octets)]


def _bins(side: Sequence[Seen], answer_ms: int) -> list[float]:
    """Frames of either kind in each quarter of a second from the answer on."""
    counted = Counter((each.full, (each.at_ms - answer_ms) // BIN_MS) for each in side)
    return [float(counted[full, place]) for full in (True, False) for place in range(-1, _BINS)]


def _full_frames(side: Sequence[Seen], answer_ms: int) -> list[float]:
    """For each of the first full frames: its time, the gap before it and its size."""
    frames = [each for each in side if each.full][: FULL_FRAMES + 1]
    features: list[float] = [len(frames)]
    for before, after in pairwise(frames):
        features += [after.at_ms - answer_ms, after.at_ms - before.at_ms, after.octets]
    return _filled(features, 1 + 3 * FULL_FRAMES)


def _audio(side: Sequence[Seen], answer_ms: int) -> list[float]:
    """When audio begins and ends, and how steady it is."""
    times = [each.at_ms for each in side if not each.full]
    if len(times) < 2:
        return [ABSENT] * 7
    gaps = sorted(after - before for before, after in pairwise(times))
    late = sum(gap > 25 for gap in gaps)
    middle, highest = gaps[len(gaps) // 2], gaps[-1]
    begin, end = times[0] - answer_ms, times[-1] - answer_ms
    return [begin, end, len(times), late, middle, highest, gaps[0]]


def _echoes(ours: Sequence[Seen], peers: Sequence[Seen]) -> list[float]:
    """How soon the peer's next full frame follows each of ours."""
    answers = iter(sorted(each.at_ms for each in peers if each.full))
    answer = next(answers, None)
    features: list[float] = []
    for sent in [each.at_ms for each in ours if each.full][:FULL_FRAMES]:
        while answer is not None and answer < sent:
            answer = next(answers, None)
        features.append(ABSENT if answer is None else answer - sent)
    return _filled(features, FULL_FRAMES)


def _filled(features: list[float], count: int) -> list[float]:
    return features + [ABSENT] * (count - len(features))
