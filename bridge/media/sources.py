"""All audio that the bridge makes itself: silence, the tones of telephone networks, test tones.

Owns the samples. Must not know calls, RTP or time: whoever plays a source asks it for a frame
each 20 ms. The frames of a sound are computed once and shared by all calls that play it; a source
is then no more than a place in them.

Every sound is a loop of whole frames in which each frequency completes whole cycles or is at rest
at the seam, and each burst swells and fades, so that nothing clicks.
"""

from functools import cache
from math import cos, gcd, lcm, pi, sin, sqrt
from typing import Final, Protocol

from bridge.media import codecs
from bridge.media.tones import Segment, ToneKind, cadence

MILLIWATT_HZ: Final = 1004
"""Of the usual test tone: no multiple of a frame's rate, so a lost frame shows in its phase."""

_SAMPLES_PER_MS: Final = codecs.SAMPLE_RATE_HZ // 1000
_FRAME_SAMPLES: Final = codecs.FRAME_MS * _SAMPLES_PER_MS
_RAMP_SAMPLES: Final = 5 * _SAMPLES_PER_MS
_TONE_LEVEL_DBM0: Final = -13.0
"""Within the -10 +-5 dBm0 of ITU-T E.180, whatever the number of frequencies."""
_MODULATION_DEPTH: Final = 0.85


class Source(Protocol):
    """Local audio of one call."""

    def next_frame(self) -> bytes:
        """Return the next 20 ms, encoded."""


class _Loop:
    """A place in frames that are repeated without end."""

    __slots__ = ("_frames", "_next")

    def __init__(self, frames: tuple[bytes, ...]) -> None:
        self._frames = frames
        self._next = 0

    def next_frame(self) -> bytes:
        """Return the next 20 ms, encoded."""
        index = self._next
        self._next = index + 1 if index + 1 < len(self._frames) else 0
        return self._frames[index]


class CodecSilence(_Loop):
    """Silence of any format that has frames of 20 ms."""

    __slots__ = ()

    def __init__(self, format_: int) -> None:
        super().__init__(_silence_frames(format_))


class Recording(_Loop):
    """Frames that were made beforehand, one at least, again and again."""

    __slots__ = ()


class Tone(_Loop):
    """Ringback, busy or congestion as a country's network plays it, in G.711.

    Raises:
        ToneError: The country is not known; the text names those that are.
        CodecError: The format is not G.711.
    """

    __slots__ = ()

    def __init__(self, country: str, kind: ToneKind | str, format_: int) -> None:
        super().__init__(_cadence_frames(cadence(country, kind), format_))


class ContinuousTone(_Loop):
    """One frequency without end, by default the milliwatt of test engineers, in G.711.

    Args:
        format_: G.711 of either law.
        frequency_hz: Above 0, below 4000.
        level_dbm0: Up to 3.

    Raises:
        CodecError: The format is not G.711.
    """

    __slots__ = ()

    def __init__(
        self, format_: int, frequency_hz: int = MILLIWATT_HZ, level_dbm0: float = 0.0
    ) -> None:
        super().__init__(_continuous_frames(format_, frequency_hz, level_dbm0))


@cache
def _silence_frames(format_: int) -> tuple[bytes, ...]:
    return (codecs.silence(format_, codecs.frame_octets(format_)),)


@cache
def _continuous_frames(format_: int, frequency_hz: int, level_dbm0: float) -> tuple[bytes, ...]:
    second = Segment((frequency_hz,), duration_ms=1000)
    cycle = _cycle(second, _peak(format_, level_dbm0))
    return _frames(codecs.encode(format_, cycle))


@cache
def _cadence_frames(segments: tuple[Segment, ...], format_: int) -> tuple[bytes, ...]:
    return _frames(b"".join(_segment(segment, format_) for segment in segments))


def _frames(audio: bytes) -> tuple[bytes, ...]:
    """Repeat audio until it is whole frames; equal frames are one object, for most are."""
    loop = audio * (lcm(len(audio), _FRAME_SAMPLES) // len(audio))
    seen: dict[bytes, bytes] = {}
    slices = (loop[at : at + _FRAME_SAMPLES] for at in range(0, len(loop), _FRAME_SAMPLES))
    return tuple(seen.setdefault(frame, frame) for frame in slices)


@cache
def _segment(segment: Segment, format_: int) -> bytes:
    """Encode one burst that swells and fades, or a pause."""
    length = segment.duration_ms * _SAMPLES_PER_MS
    if not segment.frequencies_hz:
        return codecs.silence(format_, length)
    peak = _peak(format_, _TONE_LEVEL_DBM0 - segment.attenuation_db)
    cycle = _cycle(segment, peak)
    steady = codecs.encode(format_, cycle)
    steady *= length // len(steady) + 1
    ramp = [sin(pi / 2 * at / _RAMP_SAMPLES) ** 2 for at in range(_RAMP_SAMPLES)]
    end = length - _RAMP_SAMPLES
    rise = [round(gain * cycle[at % len(cycle)]) for at, gain in enumerate(ramp)]
    fall = [round(gain * cycle[(end + at) % len(cycle)]) for at, gain in enumerate(ramp[::-1])]
    return codecs.encode(format_, rise) + steady[_RAMP_SAMPLES:end] + codecs.encode(format_, fall)


def _peak(format_: int, level_dbm0: float) -> float:
    return codecs.peak_of_0_dbm0(format_) * 10 ** (level_dbm0 / 20)


def _cycle(segment: Segment, peak: float) -> list[int]:
    """Compute the samples after which all frequencies begin anew, or as many as are needed."""
    wave = _modulated if segment.modulated else _sum
    period = codecs.SAMPLE_RATE_HZ // gcd(codecs.SAMPLE_RATE_HZ, *segment.frequencies_hz)
    samples = min(period, segment.duration_ms * _SAMPLES_PER_MS)
    radians = [2 * pi * hz / codecs.SAMPLE_RATE_HZ for hz in segment.frequencies_hz]
    return [round(peak * wave(radians, at)) for at in range(samples)]


def _sum(radians: list[float], at: int) -> float:
    return sum(sin(step * at) for step in radians) / sqrt(len(radians))


def _modulated(radians: list[float], at: int) -> float:
    carrier, modulation = radians
    power = 1 + _MODULATION_DEPTH**2 / 2
    return (1 + _MODULATION_DEPTH * cos(modulation * at)) * sin(carrier * at) / sqrt(power)
