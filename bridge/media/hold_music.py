"""What the far end hears of the bridge while a phone holds the call: comfort noise or a recording.

Owns the reading of WAV files, whose every flaw is a HoldMusicError, and the frames made of them
once, for all calls. Must not know calls or time.
"""

import random
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import sqrt
from typing import Final

from bridge.errors import BridgeError
from bridge.iax2.constants import Format
from bridge.media import codecs
from bridge.media.sources import Recording, Source

FILE_OCTETS_MAX: Final = 16 * 1024 * 1024
"""Half an hour of G.711."""

_LAWS: Final = (Format.ULAW, Format.ALAW)
_FORMAT_OF_TAG: Final[Mapping[int, Format]] = {6: Format.ALAW, 7: Format.ULAW}
_FORMAT_CHUNK: Final = struct.Struct("<HHIIHH")
_COMFORT_DBM0: Final = -50.0
_COMFORT_SAMPLES: Final = 4 * codecs.SAMPLE_RATE_HZ


class HoldMusicError(BridgeError):
    """A file that cannot be played; the text says what is expected."""


@dataclass(frozen=True, slots=True)
class HoldMusic:
    """Frames of 20 ms in both laws of G.711, played from the first one at each hold."""

    frames: Mapping[int, tuple[bytes, ...]] = field(repr=False)

    def source(self, format_: int) -> Source | None:
        """Return it from its beginning, None in a format that is not G.711."""
        return Recording(self.frames[format_]) if format_ in self.frames else None


def recorded(data: bytes) -> HoldMusic:
    """Read a WAV file: mu-law or A-law, 8000 Hz, one channel, 20 ms at least.

    What is left behind the last whole frame is not played.

    Raises:
        HoldMusicError: it is something else.

    RFC 2361, appendix A: mu-law is format 7, A-law 6.
    """
    chunks = dict(_chunks(data)) if data[:4] == b"RIFF" and data[8:12] == b"WAVE" else {}
    header, audio = chunks.get(b"fmt ", b""), chunks.get(b"data", b"")
    if len(header) < _FORMAT_CHUNK.size:
        raise HoldMusicError("expected a WAV file")
    tag, channels, rate_hz, *_ = _FORMAT_CHUNK.unpack_from(header)
    if tag not in _FORMAT_OF_TAG or (channels, rate_hz) != (1, codecs.SAMPLE_RATE_HZ):
        raise HoldMusicError("expected mu-law or A-law of 8000 Hz with one channel")
    if not _cut(audio):
        raise HoldMusicError("expected 20 ms of audio at least")
    return _in_both_laws(_FORMAT_OF_TAG[tag], audio)


def comfort() -> HoldMusic:
    """Return a soft noise, so that the line does not seem to be dead."""
    rms = codecs.peak_of_0_dbm0(Format.ULAW) / sqrt(2) * 10 ** (_COMFORT_DBM0 / 20)
    noise = random.Random(0)  # noqa: S311  # audio
    samples = [round(noise.gauss(0, rms)) for _ in range(_COMFORT_SAMPLES)]
    return _in_both_laws(Format.ULAW, codecs.encode(Format.ULAW, samples))


def _in_both_laws(format_: Format, audio: bytes) -> HoldMusic:
    translated = {law: codecs.translation(format_, law) for law in _LAWS}
    return HoldMusic(
        {
            law: _cut(audio if table is None else audio.translate(table))
            for law, table in translated.items()
        }
    )


def _cut(audio: bytes) -> tuple[bytes, ...]:
    octets = codecs.frame_octets(Format.ULAW)
    return tuple(audio[at : at + octets] for at in range(0, len(audio) - octets + 1, octets))


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the chunks of a RIFF file; the last one may be shorter than it says."""
    at = 12
    while at + 8 <= len(data):
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        yield data[at : at + 4], data[at + 8 : at + 8 + length]
        at += 8 + length + length % 2
