"""What an eavesdropper makes of a whole call: which frames, how many, of which size, how apart.

Owns the eavesdropper's conclusions. Must not know keys, or what was dialed.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from bridge.audit.wire import SIGNAL_OCTETS, Kind, Reading, read_datagram
from bridge.demo.eavesdropper import Datagram, Way
from bridge.demo.search import repeated_blocks
from bridge.dialing.envelope import IN_CALL_SLOT_S

_BURST_STEP_MAX_S: Final = IN_CALL_SLOT_S * 0.7


@dataclass(frozen=True, slots=True)
class Observed:
    """One datagram and what can be read in it."""

    datagram: Datagram
    reading: Reading


@dataclass(frozen=True, slots=True)
class Steps:
    """Frames that follow one another.

    Attributes:
        count: How many.
        octets: Their sizes, each once.
        median_ms: The usual time from one to the next; None for less than two frames.
        central_ms: The range of 98 % of these times.
    """

    count: int
    octets: tuple[int, ...]
    median_ms: float | None = None
    central_ms: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """A whole call from outside.

    Attributes:
        observed: Every datagram, in order.
        dialing: The burst of frames that holds the number, somewhere.
        after_dialing: The bridge's frames of the same size from then on, but for the last one: the
            end of the call does show.
        dialing_ends: Index in `observed` behind the burst's last frame.
        minis: The audio of each way.
        clear_after_challenge: Frames in clear where all should be encrypted.
        repeated_blocks: Blocks of ciphertext that stand more than once.
    """

    observed: tuple[Observed, ...] = field(repr=False)
    dialing: Steps
    after_dialing: Steps
    dialing_ends: int
    minis: dict[Way, Steps]
    clear_after_challenge: int
    repeated_blocks: int

    @property
    def clear(self) -> list[Reading]:
        """Every frame in clear."""
        return [seen.reading for seen in self.observed if seen.reading.kind is Kind.CLEAR]


def observe(datagrams: Sequence[Datagram]) -> Observation:
    """Draw every conclusion that needs no key."""
    observed = tuple(Observed(each, read_datagram(each.payload)) for each in datagrams)
    signals = _signals(observed)
    burst = _burst_length([observed[index].datagram.at for index in signals])
    return Observation(
        observed,
        dialing=_steps([observed[index].datagram for index in signals[:burst]]),
        after_dialing=_steps([observed[index].datagram for index in signals[burst:-1]]),
        dialing_ends=signals[burst - 1] + 1 if burst else len(observed),
        minis={way: _steps(_minis(observed, way)) for way in Way},
        clear_after_challenge=_clear_after_challenge(observed),
        repeated_blocks=repeated_blocks(_encrypted_parts(observed)),
    )


def _signals(observed: Sequence[Observed]) -> list[int]:
    """Return where the bridge's small frames are, from its first audio on: there the burst begins.

    What the bridge sends right behind a full frame of the far end is left out: an ACK.
    """
    first = next((n for n, seen in enumerate(observed) if _is_first_audio(seen)), len(observed))
    found = []
    owed = 0
    for index in range(first, len(observed)):
        seen = observed[index]
        if seen.reading.kind is not Kind.ENCRYPTED:
            continue
        to_far_end = seen.datagram.way is Way.TO_FAR_END
        if not to_far_end:
            owed += len(seen.datagram.payload) != SIGNAL_OCTETS
        elif len(seen.datagram.payload) == SIGNAL_OCTETS:
            if owed:
                owed -= 1
            else:
                found.append(index)
    return found


def _is_first_audio(seen: Observed) -> bool:
    """Tell the bridge's full voice frame: larger than any signal, and encrypted."""
    return (
        seen.reading.kind is Kind.ENCRYPTED
        and seen.datagram.way is Way.TO_FAR_END
        and len(seen.datagram.payload) > 4 * SIGNAL_OCTETS
    )


def _burst_length(times: Sequence[float]) -> int:
    """Return how many frames follow one another faster than the clock of the call after it."""
    for index, (earlier, later) in enumerate(pairwise(times)):
        if later - earlier > _BURST_STEP_MAX_S:
            return index + 1
    return len(times)


def _minis(observed: Sequence[Observed], way: Way) -> list[Datagram]:
    return [
        seen.datagram
        for seen in observed
        if seen.reading.kind is Kind.MINI and seen.datagram.way is way
    ]


def _steps(datagrams: Sequence[Datagram]) -> Steps:
    octets = tuple(sorted({len(each.payload) for each in datagrams}))
    steps_ms = sorted((b.at - a.at) * 1000 for a, b in pairwise(datagrams))
    if not steps_ms:
        return Steps(len(datagrams), octets)
    last = len(steps_ms) - 1
    central_ms = (steps_ms[round(last * 0.01)], steps_ms[round(last * 0.99)])
    return Steps(len(datagrams), octets, statistics.median(steps_ms), central_ms)


def _clear_after_challenge(observed: Sequence[Observed]) -> int:
    """Count frames in clear behind the AUTHREQ, which may be sent again."""
    names = [seen.reading.name for seen in observed if seen.reading.kind is Kind.CLEAR]
    behind = names[names.index("AUTHREQ") :] if "AUTHREQ" in names else names
    return sum(name != "AUTHREQ" for name in behind)


def _encrypted_parts(observed: Sequence[Observed]) -> list[bytes]:
    clear_octets = {Kind.ENCRYPTED: 4, Kind.MINI: 2}
    return [
        seen.datagram.payload[clear_octets[seen.reading.kind] :]
        for seen in observed
        if seen.reading.kind in clear_octets
    ]
