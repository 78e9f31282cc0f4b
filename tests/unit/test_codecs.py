"""The tables of bridge/media/codecs.py, against ITU-T G.711 and the reference coder of G.191."""

import hashlib

import pytest

from bridge.errors import BridgeError
from bridge.iax2.constants import Format
from bridge.iax2.voice import FRAME_OCTETS
from bridge.media import codecs

ULAW, ALAW = Format.ULAW, Format.ALAW
ALL_SAMPLES = range(-32768, 32768)
ALL_OCTETS = bytes(range(256))
DIGEST_OF_BOTH = "ab7d9899d310e61f3699682a44bf180c33c1ccfd8c96a863662a56e26735529d"


def reference_ulaw(sample: int) -> int:
    """Compress as ulaw_compress of ITU-T G.191 does: 14 bits, one's complement, bias 33."""
    magnitude = min((~sample if sample < 0 else sample) // 4 + 33, 0x1FFF)
    segment = magnitude.bit_length() - 5
    step = magnitude >> segment & 0xF
    return (0x00 if sample < 0 else 0x80) | (8 - segment) << 4 | (0xF - step)


def reference_alaw(sample: int) -> int:
    """Compress as alaw_compress of ITU-T G.191 does: 12 bits, one's complement."""
    magnitude = (~sample if sample < 0 else sample) >> 4
    exponent = 1
    while magnitude > 31:
        magnitude >>= 1
        exponent += 1
    code = magnitude if magnitude < 16 else magnitude - 16 + (exponent << 4)
    return (code | (0x00 if sample < 0 else 0x80)) ^ 0x55


def test_every_sample_encodes_as_the_reference_coder_does() -> None:
    assert codecs.encode(ULAW, ALL_SAMPLES) == bytes(map(reference_ulaw, ALL_SAMPLES))
    assert codecs.encode(ALAW, ALL_SAMPLES) == bytes(map(reference_alaw, ALL_SAMPLES))


@pytest.mark.parametrize(
    ("format_", "octet", "sample"),
    [
        (ULAW, 0xFF, 0),
        (ULAW, 0x7F, 0),
        (ULAW, 0xFE, 8),
        (ULAW, 0xF0, 120),
        (ULAW, 0xEF, 132),
        (ULAW, 0x80, 32124),
        (ULAW, 0x00, -32124),
        (ALAW, 0xD5, 8),
        (ALAW, 0x55, -8),
        (ALAW, 0xDA, 248),
        (ALAW, 0xC5, 264),
        (ALAW, 0xAA, 32256),
        (ALAW, 0x2A, -32256),
    ],
)
def test_known_values(format_: Format, octet: int, sample: int) -> None:
    assert codecs.decode(format_, bytes([octet])).tolist() == [sample]
    minus_zero = (ULAW, 0x7F)
    expected = 0xFF if (format_, octet) == minus_zero else octet
    assert codecs.encode(format_, [sample]) == bytes([expected])


@pytest.mark.parametrize(
    ("format_", "sequence"),
    [(ULAW, "1e0b0b1e9e8b8b9e"), (ALAW, "342121 34b4a1a1b4")],
)
def test_digital_milliwatt_is_0_dbm0(format_: Format, sequence: str) -> None:
    samples = codecs.decode(format_, bytes.fromhex(sequence))
    power = sum(sample * sample for sample in samples) / len(samples)
    assert power == pytest.approx(codecs.peak_of_0_dbm0(format_) ** 2 / 2, rel=0.01)


@pytest.mark.parametrize("format_", [ULAW, ALAW])
def test_what_was_encoded_once_stays(format_: Format) -> None:
    octets = bytes(octet for octet in ALL_OCTETS if (format_, octet) != (ULAW, 0x7F))
    assert codecs.encode(format_, codecs.decode(format_, octets)) == octets


def test_decoded_samples_stand_in_16_bits_in_native_order() -> None:
    assert codecs.decode(ULAW, b"\x00\xff").typecode == "h"
    assert codecs.decode(ALAW, b"").tolist() == []


def test_translation_is_g711s_tables_3_and_4() -> None:
    ulaw_to_alaw = codecs.translation(ULAW, ALAW)
    alaw_to_ulaw = codecs.translation(ALAW, ULAW)
    assert ulaw_to_alaw is not None
    assert alaw_to_ulaw is not None
    # As spandsp and the coder of Sun (corrected 1994) print them.
    assert list(ulaw_to_alaw[:64]) == [
        *(42, 43, 40, 41, 46, 47, 44, 45, 34, 35, 32, 33, 38, 39, 36, 37),
        *(58, 59, 56, 57, 62, 63, 60, 61, 50, 51, 48, 49, 54, 55, 52, 53),
        *(10, 11, 8, 9, 14, 15, 12, 13, 2, 3, 0, 1, 6, 7, 4, 26),
        *(27, 24, 25, 30, 31, 28, 29, 18, 19, 16, 17, 22, 23, 20, 21, 106),
    ]
    assert alaw_to_ulaw[0x55] == 0x7F - 1
    assert alaw_to_ulaw[0x2A] == 0x00
    assert hashlib.sha256(ulaw_to_alaw + alaw_to_ulaw).hexdigest() == DIGEST_OF_BOTH


def test_translation_keeps_sign_and_order_and_the_value_within_a_step() -> None:
    for from_format, to_format in ((ULAW, ALAW), (ALAW, ULAW)):
        table = codecs.translation(from_format, to_format)
        assert table is not None
        before = codecs.decode(from_format, ALL_OCTETS)
        after = codecs.decode(to_format, ALL_OCTETS.translate(table))
        assert all(abs(a - b) <= max(16, abs(b) / 16) for a, b in zip(after, before, strict=True))
        in_order = sorted(zip(before, after, strict=True))
        assert [pair[1] for pair in in_order] == sorted(after)


def test_a_second_conversion_changes_nothing_more() -> None:
    there, back = codecs.translation(ULAW, ALAW), codecs.translation(ALAW, ULAW)
    once = ALL_OCTETS.translate(there).translate(back)
    assert once.translate(there).translate(back) == once


@pytest.mark.parametrize("format_", [ULAW, ALAW, Format.G722])
def test_equal_formats_need_no_table(format_: Format) -> None:
    assert codecs.translation(format_, format_) is None


def test_silence_is_quiet_and_of_the_asked_size() -> None:
    assert codecs.silence(ULAW, 160) == b"\xff" * 160
    assert codecs.silence(ALAW, 160) == b"\xd5" * 160
    assert codecs.silence(ALAW, 0) == b""


def test_frame_sizes() -> None:
    assert codecs.frame_octets(ULAW) == 160
    assert codecs.frame_octets(ALAW, 10) == 80
    assert codecs.frame_octets(ALAW, 60) == 480


def test_encodings_of_sdp() -> None:
    assert codecs.FORMAT_OF_ENCODING["PCMU"] is ULAW
    assert codecs.FORMAT_OF_ENCODING["PCMA"] is ALAW


def test_what_no_table_covers_is_a_codec_error() -> None:
    unknown = Format.LPC10
    for call in (
        lambda: codecs.frame_octets(unknown),
        lambda: codecs.frame_octets(ULAW, 0),
        lambda: codecs.silence(unknown, 160),
        lambda: codecs.encode(unknown, [0]),
        lambda: codecs.decode(unknown, b"\x00"),
        lambda: codecs.peak_of_0_dbm0(unknown),
        lambda: codecs.translation(ULAW, unknown),
    ):
        with pytest.raises(codecs.CodecError):
            call()
    assert issubclass(codecs.CodecError, BridgeError)


@pytest.mark.parametrize(
    ("format_", "octets", "durations_ms"),
    [
        (ULAW, 160, (10, 20, 30, 60)),
        (ALAW, 160, (10, 20, 30, 60)),
        (Format.G722, 160, (10, 20, 30, 60)),
        (Format.GSM, 33, (20, 40, 60)),
        (Format.ILBC, 38, (20, 40, 60)),
        (Format.G729, 20, (10, 20, 30, 60)),
    ],
)
def test_frames_of_every_codec(format_: Format, octets: int, durations_ms: tuple[int, ...]) -> None:
    assert codecs.frame_octets(format_) == octets == FRAME_OCTETS[format_]
    for ms in durations_ms:
        size = codecs.frame_octets(format_, ms)
        assert size * 20 == octets * ms
        assert len(codecs.silence(format_, size)) == size


def test_a_block_codec_has_whole_frames_alone() -> None:
    with pytest.raises(codecs.CodecError, match="30 ms"):
        codecs.frame_octets(Format.GSM, 30)
    with pytest.raises(codecs.CodecError, match="34 octets"):
        codecs.silence(Format.GSM, 34)


def test_a_format_of_variable_rate_has_no_name() -> None:
    assert set(codecs.FORMAT_OF_NAME) == {"ulaw", "alaw", "g722", "gsm", "ilbc", "g729"}
    assert set(codecs.FORMAT_OF_NAME.values()) == set(codecs.FORMAT_OF_ENCODING.values())
