"""Measures one frequency in received audio: how loud, how pure, and how often interrupted.

Owns the measurement by which demo and tests prove that audio arrived intact. Must not know where
the audio came from; it is not meant for the hot path.
"""

from collections.abc import Sequence
from functools import lru_cache
from math import atan2, cos, degrees, inf, log10, pi, sin
from operator import mul
from typing import Final, NamedTuple

from bridge.media import codecs

_BLOCK_SAMPLES: Final = codecs.FRAME_MS * codecs.SAMPLE_RATE_HZ // 1000
_FREQUENCY_MIN_HZ: Final = 100
_FREQUENCY_MAX_HZ: Final = 3900
_INTACT_SHARE: Final = 0.97
_AUDIBLE_DBM0: Final = -45.0
_JUMP_DEGREES: Final = 5.0
_BLOCKS_MIN: Final = 5
_DETECTED_SHARE: Final = 0.9


class _Basis(NamedTuple):
    """A cosine and a sine over one block, their energies and how much they have in common."""

    cosine: list[float]
    sine: list[float]
    cosine_energy: float
    sine_energy: float
    common: float


@lru_cache(maxsize=64)
def _basis(frequency_hz: int) -> _Basis:
    step = 2 * pi * frequency_hz / codecs.SAMPLE_RATE_HZ
    cosine = [cos(step * at) for at in range(_BLOCK_SAMPLES)]
    sine = [sin(step * at) for at in range(_BLOCK_SAMPLES)]
    return _Basis(cosine, sine, _dot(cosine, cosine), _dot(sine, sine), _dot(cosine, sine))


def _dot(left: Sequence[float], right: Sequence[float]) -> float:
    return float(sum(map(mul, left, right)))


class ToneDetector:
    """Looks for one frequency in G.711 audio, in blocks of 20 ms.

    Each block is one bin of a Fourier transform, as Goertzel's filter computes it, but by two
    products with tables, which Python does faster, and corrected for the part of a cycle that a
    block cuts off. Its phase tells whether the block continues the one before: a lost, repeated or
    misplaced frame turns 1004 Hz by 29 degrees.

    Args:
        frequency_hz: 100 to 3900.
        format_: G.711 of either law.

    Attributes:
        blocks: Complete blocks measured.
        discontinuities: How often the tone, once heard, broke off or jumped in phase. Lost frames
            in whose time the tone completes whole cycles (25 at 1004 Hz) go unseen, unless
            something else is heard in their place.

    Raises:
        CodecError: The format is not G.711.
        ValueError: A frequency too near to 0 or 4000 Hz to be told by 20 ms.
    """

    __slots__ = (
        "_basis",
        "_continuing",
        "_energy",
        "_format",
        "_pending",
        "_phase",
        "_silent_energy",
        "_step",
        "_tone_energy",
        "_zero_energy",
        "blocks",
        "discontinuities",
    )

    def __init__(self, frequency_hz: int, format_: int) -> None:
        if not _FREQUENCY_MIN_HZ <= frequency_hz <= _FREQUENCY_MAX_HZ:
            raise ValueError(f"no tone detector for {frequency_hz} Hz")
        self._format = format_
        self._basis = _basis(frequency_hz)
        self._step = 360.0 * frequency_hz * _BLOCK_SAMPLES / codecs.SAMPLE_RATE_HZ
        self._zero_energy = codecs.peak_of_0_dbm0(format_) ** 2 / 2 * _BLOCK_SAMPLES
        self._silent_energy = self._zero_energy * 10 ** (_AUDIBLE_DBM0 / 10)
        self.reset()

    def reset(self) -> None:
        """Forget everything received."""
        self._pending = b""
        self._energy = self._tone_energy = 0.0
        self._phase = 0.0
        self._continuing = False
        self.blocks = self.discontinuities = 0

    def receive(self, payload: bytes) -> None:
        """Take the next payload, of any size; what does not fill a block waits for the next."""
        audio = self._pending + payload
        whole = len(audio) - len(audio) % _BLOCK_SAMPLES
        for at in range(0, whole, _BLOCK_SAMPLES):
            self._measure(codecs.decode(self._format, audio[at : at + _BLOCK_SAMPLES]))
        self._pending = audio[whole:]

    def _measure(self, samples: Sequence[int]) -> None:
        basis = self._basis
        in_phase, quadrature = _dot(samples, basis.cosine), _dot(samples, basis.sine)
        # The least-squares fit of a cosine and a sine to the block.
        determinant = basis.cosine_energy * basis.sine_energy - basis.common**2
        cosine = (in_phase * basis.sine_energy - quadrature * basis.common) / determinant
        sine = (quadrature * basis.cosine_energy - in_phase * basis.common) / determinant
        energy = _dot(samples, samples)
        tone_energy = in_phase * cosine + quadrature * sine
        self.blocks += 1
        self._energy += energy
        self._tone_energy += tone_energy
        intact = tone_energy > max(_INTACT_SHARE * energy, self._silent_energy)
        self._follow(degrees(atan2(-sine, cosine)), intact=intact)

    def _follow(self, phase: float, *, intact: bool) -> None:
        """Compare a block with the one before; only what follows a good block can break it."""
        if self._continuing:
            turned = (phase - self._phase + 180) % 360 - 180
            self.discontinuities += not intact or abs(turned) > _JUMP_DEGREES
        self._continuing = intact
        self._phase = phase + self._step

    @property
    def level_dbm0(self) -> float:
        """Mean level of the frequency over all blocks, minus infinity for none of it."""
        if self._tone_energy <= 0:
            return -inf
        return 10 * log10(self._tone_energy / self.blocks / self._zero_energy)

    @property
    def share(self) -> float:
        """Fraction, 0 to 1, of the energy received that lies at the frequency."""
        return self._tone_energy / self._energy if self._energy else 0.0

    @property
    def detected(self) -> bool:
        """Whether 100 ms or more were received and are hardly anything but the tone."""
        return (
            self.blocks >= _BLOCKS_MIN
            and self.share >= _DETECTED_SHARE
            and self.level_dbm0 > _AUDIBLE_DBM0
        )
