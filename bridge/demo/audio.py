"""The test tone of one end: what it sends, what it hears of the other, and what both amount to.

The tone says by itself which of its frames a frame is: 1004 Hz repeats after 25 frames of 20 ms and
not before. So loss and delay are measured on nothing but the tone, as long as a frame takes less
than half a second. Phone and far end run on one machine and read one monotonic clock.
"""

import statistics
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

from bridge.iax2 import Format
from bridge.media.sources import MILLIWATT_HZ, ContinuousTone
from bridge.media.tone_detector import ToneDetector

FORMAT: Final = Format.ULAW
FRAME_S: Final = 0.020
LONGEST_S: Final = 0.3
"""Frames sent so shortly before the end are not counted: they may still be under way."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What one end heard within a span of time.

    Attributes:
        frames: When each frame of the tone came, and its place in the tone's cycle.
        others: How many frames were something else, such as silence that fills a gap.
        level_dbm0: Of the tone.
        share: Of all energy, 0 to 1, how much is the tone: its purity.
        breaks: How often the tone broke off or jumped.
        detected: Whether it is hardly anything but the tone.
    """

    frames: tuple[tuple[float, int], ...] = ()
    others: int = 0
    level_dbm0: float = float("-inf")
    share: float = 0.0
    breaks: int = 0
    detected: bool = False

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Read what `dataclasses.asdict` and JSON made of one."""
        frames = tuple((float(at), int(place)) for at, place in values["frames"])
        return cls(**{**values, "frames": frames})


@dataclass(frozen=True, slots=True)
class Passage:
    """What became of the audio on its way from one end to the other.

    Attributes:
        sent: Frames that one end sent while the call was up.
        lost: Those of them that the other end never heard.
        delay_p50_ms, delay_p99_ms: One way, buffer included; None where nothing was heard.
        sent_dbm0: Level at the sending end.
        heard: What the other end measured.
    """

    sent: int
    lost: int
    delay_p50_ms: float | None
    delay_p99_ms: float | None
    sent_dbm0: float
    heard: Heard

    @property
    def loss(self) -> float:
        """The lost share, 0 to 1; all of it where nothing was sent."""
        return self.lost / self.sent if self.sent else 1.0


@dataclass(slots=True)
class ToneEnd:
    """One end of the audio: gives the frames to send, takes those that come.

    Attributes:
        sends_dbm0, hears_dbm0: Levels of the two tones. They differ, so that an echo of one's own
            tone is not taken for the other's.
        sent_at: When each frame was taken, on the monotonic clock.
    """

    sends_dbm0: float
    hears_dbm0: float
    sent_at: list[float] = field(default_factory=list)
    _source: ContinuousTone = field(init=False)
    _arrivals: list[tuple[float, bytes]] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        self._source = ContinuousTone(FORMAT, MILLIWATT_HZ, self.sends_dbm0)

    def next_frame(self, now: float) -> bytes:
        """Return the next 20 ms to send, which count as sent."""
        self.sent_at.append(now)
        return self._source.next_frame()

    def receive(self, payload: bytes, now: float) -> None:
        """Take a frame of the other end."""
        self._arrivals.append((now, payload))

    def heard(self, since: float, until: float) -> Heard:
        """Measure what came between two times."""
        places = {frame: place for place, frame in enumerate(cycle(self.hears_dbm0))}
        detector = ToneDetector(MILLIWATT_HZ, FORMAT)
        frames = []
        others = 0
        for at, payload in self._arrivals:
            if not since <= at < until:
                continue
            detector.receive(payload)
            place = places.get(payload)
            if place is None:
                others += 1
            else:
                frames.append((at, place))
        return Heard(
            tuple(frames),
            others,
            detector.level_dbm0,
            detector.share,
            detector.discontinuities,
            detector.detected,
        )


def cycle(level_dbm0: float) -> tuple[bytes, ...]:
    """Return the frames of the tone up to where it repeats; no two of them are equal."""

    def frames() -> Iterator[bytes]:
        source = ContinuousTone(FORMAT, MILLIWATT_HZ, level_dbm0)
        first = source.next_frame()
        yield first
        while (frame := source.next_frame()) != first:
            yield frame

    return tuple(frames())


def measure_passage(
    sent_at: Sequence[float], heard: Heard, sent_dbm0: float, since: float, until: float
) -> Passage:
    """Find each frame that was heard among those sent.

    Args:
        sent_at: When each frame of one end left, the first of the cycle first.
        heard: What the other end heard.
        sent_dbm0: Level of the tone that was sent.
        since: Frames sent before are not counted.
        until: Nor are those sent later than 0.3 s before this time, the call's end.
    """
    cycle_frames = len(cycle(sent_dbm0))
    delay_of = dict(_delays(sent_at, heard, cycle_frames))
    counted = [n for n, at in enumerate(sent_at) if since <= at < until - LONGEST_S]
    delays_ms = sorted(delay_of[number] * 1000 for number in counted if number in delay_of)
    return Passage(
        sent=len(counted),
        lost=len(counted) - len(delays_ms),
        delay_p50_ms=statistics.median(delays_ms) if delays_ms else None,
        delay_p99_ms=delays_ms[int(len(delays_ms) * 0.99)] if delays_ms else None,
        sent_dbm0=sent_dbm0,
        heard=heard,
    )


def _delays(
    sent_at: Sequence[float], heard: Heard, cycle_frames: int
) -> Iterator[tuple[int, float]]:
    """Give number and delay of each frame heard: the newest sent that has its place."""
    for at, place in reversed(heard.frames):
        newest = bisect_right(sent_at, at) - 1
        number = newest - (newest - place) % cycle_frames
        if number >= 0:
            yield number, at - sent_at[number]
