"""Audio formats as the relay needs them: G.711 tables, silence and frame sizes.

Owns every table about a format. Must not know RTP, calls or time. A format whose payload only
passes through is one more line of `_LAYOUTS`; G.711 alone is computed here. Formats of variable
rate are left out on purpose: on an encrypted link their sizes would tell of what is said.
"""

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from bridge.errors import BridgeError
from bridge.iax2.constants import Format

SAMPLE_RATE_HZ: Final = 8000
FRAME_MS: Final = 20

_Table = TypeVar("_Table")


class CodecError(BridgeError):
    """A format, or a length of it, that the bridge has no table for."""


@dataclass(frozen=True, slots=True)
class FrameLayout:
    """Size and silence of one constant-rate format.

    Attributes:
        encoding: Name in SDP (RFC 3551, RFC 3952).
        octets: Octets of the shortest payload that stands alone.
        duration_ms: What these octets last.
        silence: Octets that decode to silence, whatever was decoded before them; payloads are whole
            repetitions of it.
    """

    encoding: str
    octets: int
    duration_ms: int
    silence: bytes


# What an encoder at rest makes of silence, in the form that it settles on; for G.722 the smallest
# step of both bands, which leaves 2 of 32768 where the customary 0xFA leaves 200.
_GSM_SILENCE: Final = bytes.fromhex(
    "d820a2e15a50004924924924500049249249245000492492492450004924924924"
)
_ILBC_SILENCE: Final = bytes.fromhex(
    "ffa6340001b00000000000000049ffffffffffffffffffffffffffffc0000d962c6c6c6c3636"
)
_G729_SILENCE: Final = bytes.fromhex("785280a000fac20007d6")

_LAYOUTS: Final[Mapping[int, FrameLayout]] = {
    Format.ULAW: FrameLayout("PCMU", octets=8, duration_ms=1, silence=b"\xff"),
    Format.ALAW: FrameLayout("PCMA", octets=8, duration_ms=1, silence=b"\xd5"),
    Format.G722: FrameLayout("G722", octets=8, duration_ms=1, silence=b"\xff"),
    Format.GSM: FrameLayout("GSM", octets=33, duration_ms=20, silence=_GSM_SILENCE),
    # Asterisk's mode on links, where nothing tells the mode: 20 ms (res_format_attr_ilbc).
    Format.ILBC: FrameLayout("ILBC", octets=38, duration_ms=20, silence=_ILBC_SILENCE),
    Format.G729: FrameLayout("G729", octets=10, duration_ms=10, silence=_G729_SILENCE),
}

FORMAT_OF_NAME: Final[Mapping[str, Format]] = {
    "ulaw": Format.ULAW,
    "alaw": Format.ALAW,
    "g722": Format.G722,
    "gsm": Format.GSM,
    "ilbc": Format.ILBC,
    "g729": Format.G729,
}
"""By the name in the configuration, which is Asterisk's."""

FORMAT_OF_ENCODING: Final[Mapping[str, Format]] = {
    layout.encoding: Format(format_) for format_, layout in _LAYOUTS.items()
}


def frame_octets(format_: int, ms: int = FRAME_MS) -> int:
    """Return the octets of a payload that lasts `ms` milliseconds.

    Raises:
        CodecError: Unknown format, or a duration that its frames cannot make up.
    """
    layout = _layout(format_)
    if ms <= 0 or ms % layout.duration_ms:
        raise CodecError(f"{layout.encoding} has no frames of {ms} ms")
    return layout.octets * ms // layout.duration_ms


def unit(format_: int) -> tuple[int, int]:
    """Return octets and milliseconds of the shortest payload that stands alone.

    Raises:
        CodecError: Unknown format.
    """
    layout = _layout(format_)
    return layout.octets, layout.duration_ms


def is_g711(format_: int) -> bool:
    """Return whether a format is of either law: it can be translated, and tones made in it."""
    return format_ in _DECODED


def silence(format_: int, octets: int) -> bytes:
    """Return a payload of `octets` octets that decodes to silence.

    Raises:
        CodecError: Unknown format, or a size that its frames cannot make up.
    """
    layout = _layout(format_)
    count, rest = divmod(octets, len(layout.silence))
    if rest:
        raise CodecError(f"{layout.encoding} has no payload of {octets} octets")
    return layout.silence * count


def _layout(format_: int) -> FrameLayout:
    try:
        return _LAYOUTS[format_]
    except KeyError:
        raise CodecError(f"no frame layout for format {format_:#x}") from None


# G.711 numbers the levels of each polarity 0 to 127 from the middle outwards; mu-law sends that
# number inverted, A-law with its even bits inverted, and the top bit is set for positive values.
_ULAW_POSITIVE: Final = 0xFF
_ALAW_POSITIVE: Final = 0xD5
_SIGN: Final = 0x80


def _ulaw_level(number: int) -> int:
    """Return the decoded magnitude, 14 bits scaled to 16 (ITU-T G.711 table 2a)."""
    segment, step = divmod(number, 16)
    return (((2 * step + 33) << segment) - 33) * 4


def _alaw_level(number: int) -> int:
    """Return the decoded magnitude, 13 bits scaled to 16 (ITU-T G.711 table 1a)."""
    segment, step = divmod(number, 16)
    return ((2 * step + 1) if segment == 0 else (2 * step + 33) << (segment - 1)) * 8


def _decoder(levels: Sequence[int], positive: int) -> tuple[int, ...]:
    samples = [0] * 256
    for number, level in enumerate(levels):
        samples[positive ^ number] = level
        samples[positive ^ _SIGN ^ number] = -level
    return tuple(samples)


def _encoder(widths: Sequence[int], positive: int) -> bytes:
    """Build the octet of each 16-bit sample, indexed by the sample modulo 65536.

    Negative samples are mirrored by one's complement, as ITU-T G.191's reference coder does, so
    that both polarities have decision values of the same magnitude.

    Args:
        widths: Samples that each level number takes in, from zero outwards.
        positive: Octet of level 0, positive.
    """
    runs = list(enumerate(widths))
    upper = b"".join(bytes([positive ^ number]) * width for number, width in runs)
    lower = b"".join(bytes([positive ^ _SIGN ^ number]) * width for number, width in runs[::-1])
    return upper + lower


def _ulaw_widths() -> list[int]:
    """Return 16-bit samples per level: the bias of 33 halves the first one's interval."""
    widths = [8 << number // 16 for number in range(128)]
    widths[0] = 4
    widths[127] = 32768 - sum(widths[:127])
    return widths


_DECODED: Final[Mapping[int, tuple[int, ...]]] = {
    Format.ULAW: _decoder([_ulaw_level(n) for n in range(128)], _ULAW_POSITIVE),
    Format.ALAW: _decoder([_alaw_level(n) for n in range(128)], _ALAW_POSITIVE),
}
_ENCODED: Final[Mapping[int, bytes]] = {
    Format.ULAW: _encoder(_ulaw_widths(), _ULAW_POSITIVE),
    Format.ALAW: _encoder([16 << max(n // 16 - 1, 0) for n in range(128)], _ALAW_POSITIVE),
}


def encode(format_: int, samples: Sequence[int]) -> bytes:
    """Encode 16-bit samples, -32768 to 32767, as G.711.

    Raises:
        CodecError: The format is not G.711.

    ITU-T G.711; ITU-T G.191, modules ulaw_compress and alaw_compress.
    """
    table = _g711(_ENCODED, format_)
    return bytes([table[sample & 0xFFFF] for sample in samples])


def decode(format_: int, payload: bytes) -> "array[int]":
    """Decode G.711 octets to 16-bit samples.

    Raises:
        CodecError: The format is not G.711.

    ITU-T G.711; ITU-T G.191, modules ulaw_expand and alaw_expand.
    """
    table = _g711(_DECODED, format_)
    return array("h", [table[octet] for octet in payload])


_PEAK_OF_0_DBM0: Final[Mapping[int, float]] = {
    Format.ULAW: 8159 * 4 * 10 ** (-3.17 / 20),
    Format.ALAW: 4096 * 8 * 10 ** (-3.14 / 20),
}


def peak_of_0_dbm0(format_: int) -> float:
    """Return the peak, in 16-bit samples, of a sine of 0 dBm0, one milliwatt at the test point.

    Raises:
        CodecError: The format is not G.711.

    ITU-T G.711 section 5: the largest sine is 3.17 dBm0 in mu-law and 3.14 dBm0 in A-law.
    """
    return _g711(_PEAK_OF_0_DBM0, format_)


def _g711(tables: Mapping[int, _Table], format_: int) -> _Table:
    try:
        return tables[format_]
    except KeyError:
        raise CodecError(f"format {format_:#x} is not G.711") from None


# Tables 3 and 4 of ITU-T G.711, mu-law level to A-law level and back, in the form of 1994 that
# is in general use (one pair in the middle corrected). Preferred to a way over linear samples,
# which shifts the levels 80 to 95 by one step, because they honour that 0 dBm0 lies 0.06 dB apart
# in the two laws; and a second conversion after a first there and back changes nothing more.
_ALAW_OF_ULAW: Final = (
    *(number // 2 for number in range(16)),
    *range(8, 24),
    *(24, 26, 28, 30),
    *range(32, 44),
    45,
    *range(47, 62),
    *range(63, 80),
    *range(81, 128),
)
_ULAW_OF_ALAW: Final = (
    *range(1, 16, 2),
    *range(16, 32),
    *(32, 32, 33, 33, 34, 34, 35, 35),
    *range(36, 48),
    *(48, 48, 49, 49),
    *range(50, 64),
    64,
    *range(64, 81),
    *range(80, 128),
)


def _translator(numbers: Sequence[int], from_positive: int, to_positive: int) -> bytes:
    octets = bytearray(256)
    for number, translated in enumerate(numbers):
        octets[from_positive ^ number] = to_positive ^ translated
        octets[from_positive ^ _SIGN ^ number] = to_positive ^ _SIGN ^ translated
    return bytes(octets)


_TRANSLATIONS: Final[Mapping[tuple[int, int], bytes]] = {
    (Format.ULAW, Format.ALAW): _translator(_ALAW_OF_ULAW, _ULAW_POSITIVE, _ALAW_POSITIVE),
    (Format.ALAW, Format.ULAW): _translator(_ULAW_OF_ALAW, _ALAW_POSITIVE, _ULAW_POSITIVE),
}


def translation(from_format: int, to_format: int) -> bytes | None:
    """Return the 256-octet table for `bytes.translate`, or None where payloads pass unchanged.

    Raises:
        CodecError: The formats differ and are not the two laws of G.711.

    ITU-T G.711 section 3.5, tables 3 and 4.
    """
    if from_format == to_format:
        return None
    try:
        return _TRANSLATIONS[from_format, to_format]
    except KeyError:
        raise CodecError(f"no translation from {from_format:#x} to {to_format:#x}") from None
