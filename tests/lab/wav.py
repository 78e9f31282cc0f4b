"""WAV files of G.711, as hold music."""

import struct

FRAMES = [bytes([number]) * 160 for number in (1, 2, 3)]


def wav(
    audio: bytes, *, tag: int = 7, channels: int = 1, rate_hz: int = 8000, before: bytes = b""
) -> bytes:
    """A file, with chunks `before` the format."""
    header = struct.pack("<HHIIHH", tag, channels, rate_hz, rate_hz, 1, 8)
    chunks = before + b"fmt " + struct.pack("<I", len(header)) + header
    chunks += b"data" + struct.pack("<I", len(audio)) + audio
    return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WAVE" + chunks
