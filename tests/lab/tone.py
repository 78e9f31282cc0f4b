"""A mu-law test tone and how to find it again, independent of the bridge's own codecs."""

import math
from collections.abc import Callable, Sequence

FRAME_SAMPLES = 160


def tone(frequency_hz: float = 1004.0, amplitude: int = 8000) -> Callable[[int], bytes]:
    """A source that sends a mu-law tone without a click between its frames."""

    def frame(number: int) -> bytes:
        start = number * FRAME_SAMPLES
        step = 2 * math.pi * frequency_hz / 8000
        return bytes(
            ulaw(round(amplitude * math.sin(step * (start + n)))) for n in range(FRAME_SAMPLES)
        )

    return frame


def ulaw(sample: int) -> int:
    """One linear sample of 16 bits as mu-law, by ITU-T G.711."""
    sign = 0x80 if sample < 0 else 0
    magnitude = min(abs(sample), 32635) + 0x84
    exponent = magnitude.bit_length() - 8
    mantissa = (magnitude >> (exponent + 3)) & 0x0F
    return ~(sign | exponent << 4 | mantissa) & 0xFF


def linear(octet: int) -> int:
    """One mu-law octet as a linear sample."""
    value = ~octet & 0xFF
    magnitude = ((((value & 0x0F) << 3) + 0x84) << ((value >> 4) & 7)) - 0x84
    return -magnitude if value & 0x80 else magnitude


def tone_share(payload: bytes, frequency_hz: float) -> float:
    """Which share of the power of mu-law audio lies at a frequency, 0 to 1."""
    return power_share([linear(octet) for octet in payload], frequency_hz)


def power_share(samples: Sequence[int], frequency_hz: float) -> float:
    """Which share of the power of linear samples lies at a frequency, 0 to 1 (Goertzel)."""
    power = sum(value * value for value in samples)
    step = 2 * math.pi * frequency_hz / 8000
    real = sum(value * math.cos(step * n) for n, value in enumerate(samples))
    imaginary = sum(value * math.sin(step * n) for n, value in enumerate(samples))
    return 2 * (real**2 + imaginary**2) / (len(samples) * power) if power else 0.0
