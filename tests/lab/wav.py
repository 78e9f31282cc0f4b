"""WAV files: of G.711, as hold music, and of tones, for softphones to say."""

import math
import struct
import wave
from pathlib import Path
from typing import Final

RATE_HZ: Final = 8000
SPEAKS_S: Final = 120
"""Some softphones end a call whose recording has ended."""
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
    step = 2 * math.pi * tone_hz / RATE_HZ
    second = struct.pack(
        f"<{RATE_HZ}h", *(round(8000 * math.sin(step * n)) for n in range(RATE_HZ))
    )
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(second * SPEAKS_S)
