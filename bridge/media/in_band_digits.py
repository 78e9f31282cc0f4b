"""Digits heard as tones in a phone's G.711: two of eight frequencies at once, for 40 ms or more.

Owns the detector, and the place between a call's buffer and the link where it listens. Must not
know calls, RTP or who wants the digits. It costs some 5 us a millisecond of sound, so it listens
only where it is asked to.

Source: ITU-T Q.23 (frequencies), Q.24 (levels, twist and durations).
"""

from collections.abc import Callable, Sequence
from math import cos, pi, sin
from operator import mul
from typing import Final

from bridge.media import codecs

_ROWS_HZ: Final = (697, 770, 852, 941)
_COLUMNS_HZ: Final = (1209, 1336, 1477, 1633)
_KEYS: Final = ("123A", "456B", "789C", "*0#D")

_BLOCK_SAMPLES: Final = 102
"""12.75 ms, in which each of the frequencies is told from its neighbours."""
_HITS: Final = 2
"""Blocks that make a digit: whatever lasts 40 ms holds two, and hardly any speech does."""
_MISSES: Final = 4
"""Blocks that end it: a pause of 50 ms holds four, a lost frame of 20 ms three at most."""
_GAPS_MAX: Final = 2
"""Frames that may be missing within one digit."""
_LEVEL_MIN_DBM0: Final = -34.0
"""Of each of the two, with room below the -25 dBm0 of Q.24's weakest."""
_SHARE_MIN: Final = 0.78
"""Of the block's energy, in the two: speech has more elsewhere."""
_PEAK_RATIO: Final = 6.3
"""A frequency is 8 dB above the other three of its group."""
_TWIST_MAX: Final = 6.3
_REVERSE_TWIST_MAX: Final = 2.5
"""The higher one may be 4 dB above the lower one, and 8 dB below it."""


def _table(hz: int) -> tuple[list[float], list[float]]:
    step = 2 * pi * hz / codecs.SAMPLE_RATE_HZ
    samples = range(_BLOCK_SAMPLES)
    return [cos(step * at) for at in samples], [sin(step * at) for at in samples]


_ROW_TABLES: Final = tuple(map(_table, _ROWS_HZ))
_COLUMN_TABLES: Final = tuple(map(_table, _COLUMNS_HZ))


class ToneDigitDetector:
    """Reports each key press of one stream of G.711 once.

    Raises:
        CodecError: The format is not G.711.
    """

    __slots__ = ("_energy_min", "_format", "_hits", "_last", "_misses", "_pending", "_reported")

    def __init__(self, format_: int) -> None:
        self._format = format_
        # A tone of energy E in the block has a power of E * N / 2 in its bin.
        tone = codecs.peak_of_0_dbm0(format_) ** 2 / 2 * 10 ** (_LEVEL_MIN_DBM0 / 10)
        self._energy_min = tone * _BLOCK_SAMPLES * 2
        self._pending: list[int] = []
        self.reset()

    def reset(self) -> None:
        """Forget what was heard: what follows is another sound."""
        self._pending.clear()
        self._last = self._reported = ""
        self._hits = self._misses = 0

    @property
    def sounding(self) -> bool:
        """Whether a reported digit goes on."""
        return bool(self._reported)

    def receive(self, payload: bytes) -> str:
        """Take the next audio, of any length; returns the digits that it makes certain."""
        pending = self._pending
        pending += codecs.decode(self._format, payload)
        digits = ""
        while len(pending) >= _BLOCK_SAMPLES:
            digits += self._follow(self._digit_of(pending[:_BLOCK_SAMPLES]))
            del pending[:_BLOCK_SAMPLES]
        return digits

    def _follow(self, heard: str) -> str:
        """Return the digit that one more block makes certain, else nothing."""
        self._hits = self._hits + 1 if heard and heard == self._last else int(bool(heard))
        self._last = heard
        self._misses = 0 if heard == self._reported else self._misses + 1
        begins = self._hits >= _HITS and heard != self._reported
        if begins or self._misses >= _MISSES:
            self._reported = heard if begins else ""
            self._misses = 0
        return heard if begins else ""

    def _digit_of(self, samples: Sequence[int]) -> str:
        """Return the digit of one block, or nothing."""
        energy = sum(map(mul, samples, samples))
        if energy < self._energy_min:
            return ""
        rows = [_power(samples, table) for table in _ROW_TABLES]
        row = _peak(rows)
        if row is None:
            return ""
        columns = [_power(samples, table) for table in _COLUMN_TABLES]
        column = _peak(columns)
        if column is None:
            return ""
        low, high = rows[row], columns[column]
        level_min = self._energy_min / 2 * _BLOCK_SAMPLES / 2
        plain = low + high >= _SHARE_MIN * energy * _BLOCK_SAMPLES / 2
        balanced = low <= high * _TWIST_MAX and high <= low * _REVERSE_TWIST_MAX
        return _KEYS[row][column] if plain and balanced and min(low, high) >= level_min else ""


def _power(samples: Sequence[int], table: tuple[list[float], list[float]]) -> float:
    """Return the power of one bin of a Fourier transform, as Goertzel's filter computes it."""
    real: float = sum(map(mul, samples, table[0]))
    imaginary: float = sum(map(mul, samples, table[1]))
    return real * real + imaginary * imaginary


def _peak(powers: Sequence[float]) -> int | None:
    """Return the one that stands out of its group, None where none does."""
    index = max(range(len(powers)), key=powers.__getitem__)
    threshold = powers[index] / _PEAK_RATIO
    others = (power for at, power in enumerate(powers) if at != index)
    return index if all(power < threshold for power in others) else None


class ListeningPull:
    """Takes frames for the link, and digits out of them; a digit's own tones become silence.

    So the far end hears it once. Up to 40 ms of a tone pass before it is certain.
    """

    __slots__ = ("_detector", "_gaps", "_on_digit", "_pull")

    def __init__(
        self, pull: Callable[[], bytes | None], format_: int, on_digit: Callable[[str], None]
    ) -> None:
        self._pull = pull
        self._detector = ToneDigitDetector(format_)
        self._on_digit = on_digit
        self._gaps = 0

    def pull(self) -> bytes | None:
        """Return the next frame, or None: silence is due."""
        frame = self._pull()
        if frame is None:
            self._gaps += 1
            if self._gaps > _GAPS_MAX:
                self._detector.reset()
            return None
        self._gaps = 0
        for digit in self._detector.receive(frame):
            self._on_digit(digit)
        return None if self._detector.sounding else frame


def listening_pull(
    pull: Callable[[], bytes | None], format_: int, on_digit: Callable[[str], None]
) -> Callable[[], bytes | None]:
    """Return what takes digits out of frames on their way, or `pull` where they are not G.711."""
    if not codecs.is_g711(format_):
        return pull
    return ListeningPull(pull, format_, on_digit).pull
