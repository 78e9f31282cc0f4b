"""WAV files: of G.711, as hold music, and of tones, for softphones to say."""

import math
import struct
import wave
from pathlib import Path
from typing import Final

RATE_HZ: Final = 8000
SPEAKS_S: Final = 120
"""Some softphones end a call whose recording has ended."""
KEYPAD: Final = ("123A", "456B", "789C", "*0#D")
ROWS_HZ: Final = (697, 770, 852, 941)
COLUMNS_HZ: Final = (1209, 1336, 1477, 1633)
KEY_S: Final = 0.15
FRAMES = [bytes([number]) * 160 for number in (1, 2, 3)]


def wav(
    audio: bytes, *, tag: int = 7, channels: int = 1, rate_hz: int = 8000, before: bytes = b""
) -> bytes:
    """A file, with chunks `before` the format."""
    header = struct.pack("<HHIIHH", tag, channels, rate_hz, rate_hz, 1, 8)
    chunks = before + b"fmt " + struct.pack("<I", len(header)) + header
    chunks += b"data" + struct.pack("<I", len(audio)) + audio
    return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WAVE" + chunks


def write_tone(path: Path, tone_hz: float) -> None:
    """Two minutes of a tone, as linear samples at 8000 Hz."""
    _write(path, _tones(1, tone_hz) * SPEAKS_S)


def write_keys(path: Path, digits: str) -> None:
    """A second of silence, keys as their tones (ITU-T Q.23), each of 150 ms, and silence."""
    pause, keys = _tones(KEY_S), _tones(1)
    for digit in digits:
        (row,) = (n for n, keys_of_row in enumerate(KEYPAD) if digit in keys_of_row)
        keys += _tones(KEY_S, ROWS_HZ[row], COLUMNS_HZ[KEYPAD[row].index(digit)]) + pause
    _write(path, keys + _tones(SPEAKS_S))


def _tones(seconds: float, *tones_hz: float) -> bytes:
    steps = [2 * math.pi * tone_hz / RATE_HZ for tone_hz in tones_hz]
    count = round(seconds * RATE_HZ)
    level = 8000 / max(1, len(steps))
    samples = (round(level * sum(math.sin(step * n) for step in steps)) for n in range(count))
    return struct.pack(f"<{count}h", *samples)


def _write(path: Path, samples: bytes) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(samples)
