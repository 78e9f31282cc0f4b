"""Frames in clear: layout, subclass octets, refusals, and no way to break the parser."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.iax2.constants import ControlSubclass, Format, FrameType, IaxSubclass
from bridge.iax2.errors import FrameError
from bridge.iax2.frames import (
    FULL_HEADER_OCTETS,
    MINI_HEADER_OCTETS,
    FullFrame,
    MiniFrame,
    decode_subclass,
    encode_subclass,
    parse_frame_untrusted,
)

SUBCLASSES = st.one_of(
    st.just(-1), st.integers(0, 127), st.integers(7, 63).map(lambda power: 1 << power)
)
DATA = st.binary(max_size=64)
OCTET = st.integers(0, 255)

FULL_FRAMES = st.builds(
    FullFrame,
    source_call_number=st.integers(1, 0x7FFF),
    destination_call_number=st.integers(0, 0x7FFF),
    timestamp_ms=st.integers(0, 0xFFFFFFFF),
    oseqno=OCTET,
    iseqno=OCTET,
    frame_type=OCTET,
    subclass=SUBCLASSES,
    data=DATA,
    retransmission=st.booleans(),
)
MINI_FRAMES = st.builds(
    MiniFrame,
    source_call_number=st.integers(1, 0x7FFF),
    timestamp_ms=st.integers(0, 0xFFFF),
    data=DATA,
)


FRAME = FullFrame(
    source_call_number=0x0F74,
    destination_call_number=0x3484,
    timestamp_ms=0x01020304,
    oseqno=0x11,
    iseqno=0x22,
    frame_type=FrameType.IAX,
    subclass=IaxSubclass.RTKEY,
    data=b"\x0f\x01\xaa",
)


def test_a_full_frame_is_laid_out_as_the_rfc_draws_it() -> None:
    octets = bytes.fromhex("8f74 3484 01020304 11 22 06 27 0f01aa")
    assert FRAME.encode() == octets
    assert parse_frame_untrusted(octets) == FRAME


def test_a_retransmission_has_the_top_bit_of_the_destination() -> None:
    octets = bytes.fromhex("8f74 b484 01020304 11 22 06 27 0f01aa")
    frame = parse_frame_untrusted(octets)
    assert isinstance(frame, FullFrame)
    assert frame.retransmission
    assert frame.destination_call_number == 0x3484
    assert frame.encode() == octets


def test_a_mini_frame_is_laid_out_as_the_rfc_draws_it() -> None:
    octets = bytes.fromhex("0f74 beef 7fff")
    frame = MiniFrame(0x0F74, 0xBEEF, b"\x7f\xff")
    assert frame.encode() == octets
    assert parse_frame_untrusted(octets) == frame


def test_the_largest_fields_fit() -> None:
    octets = bytes.fromhex("ffff ffff ffffffff ff ff ff ff")
    frame = parse_frame_untrusted(octets)
    assert frame == FullFrame(0x7FFF, 0x7FFF, 0xFFFFFFFF, 255, 255, 255, -1, b"", True)  # noqa: FBT003 - the frame's last field
    assert frame.encode() == octets


def test_header_sizes_are_the_rfcs() -> None:
    assert (FULL_HEADER_OCTETS, MINI_HEADER_OCTETS) == (12, 4)


@given(FULL_FRAMES)
def test_full_frames_go_round(frame: FullFrame) -> None:
    assert parse_frame_untrusted(frame.encode()) == frame


@given(MINI_FRAMES)
def test_mini_frames_go_round(frame: MiniFrame) -> None:
    assert parse_frame_untrusted(frame.encode()) == frame


@given(st.binary(max_size=300))
def test_garbage_is_a_frame_or_a_frame_error(datagram: bytes) -> None:
    try:
        frame = parse_frame_untrusted(datagram)
    except FrameError:
        return
    assert len(frame.encode()) == len(datagram)
    assert 1 <= frame.source_call_number <= 0x7FFF


@given(st.binary(min_size=12, max_size=300))
def test_a_frame_from_the_network_encodes_back_but_for_a_format_written_as_a_power(
    octets: bytes,
) -> None:
    datagram = bytes((octets[0] | 0x80, octets[1] | 1)) + octets[2:]
    encoded = parse_frame_untrusted(datagram).encode()
    subclass_octet = encode_subclass(decode_subclass(datagram[11]))
    assert encoded == datagram[:11] + bytes((subclass_octet,)) + datagram[12:]


@pytest.mark.parametrize("length_octets", range(14))
def test_short_full_frames(length_octets: int) -> None:
    datagram = bytes.fromhex("8f74348401020304112206270faa")[:length_octets]
    if length_octets < 12:
        with pytest.raises(FrameError, match=str(length_octets)):
            parse_frame_untrusted(datagram)
    else:
        frame = parse_frame_untrusted(datagram)
        assert isinstance(frame, FullFrame)
        assert frame.data == datagram[12:]


@pytest.mark.parametrize("length_octets", range(14))
def test_short_mini_frames(length_octets: int) -> None:
    datagram = bytes.fromhex("0f74348401020304112206270faa")[:length_octets]
    if length_octets < 4:
        with pytest.raises(FrameError, match=str(length_octets)):
            parse_frame_untrusted(datagram)
    else:
        assert parse_frame_untrusted(datagram) == MiniFrame(0x0F74, 0x3484, datagram[4:])


@pytest.mark.parametrize(
    "datagram",
    [
        pytest.param("0000 0101 00000000 0f74 0004 0102 aabb", id="trunk"),
        pytest.param("0000 8f74 1234 aabbcc", id="video"),
        pytest.param("0000 0000", id="shortest"),
    ],
)
def test_meta_frames_are_refused(datagram: str) -> None:
    with pytest.raises(FrameError, match="meta"):
        parse_frame_untrusted(bytes.fromhex(datagram))


@given(st.binary(min_size=2))
def test_no_meta_frame_is_taken(rest: bytes) -> None:
    with pytest.raises(FrameError):
        parse_frame_untrusted(bytes(2) + rest)


def test_a_full_frame_comes_from_a_call() -> None:
    with pytest.raises(FrameError, match="source call number 0"):
        parse_frame_untrusted(bytes.fromhex("8000 0f74 00000000 00 00 06 04"))


def test_a_full_frame_may_go_to_call_number_0_which_starts_a_dialog() -> None:
    frame = parse_frame_untrusted(bytes.fromhex("8f74 0000 00000003 00 00 06 01"))
    assert isinstance(frame, FullFrame)
    assert frame.destination_call_number == 0


@pytest.mark.parametrize("octet", range(256))
def test_each_subclass_octet(octet: int) -> None:
    value_of_power = -1 if octet == 0xFF else 2 ** (octet % 64)
    expected = octet if octet < 0x80 else value_of_power
    assert decode_subclass(octet) == expected
    assert decode_subclass(encode_subclass(expected)) == expected


@pytest.mark.parametrize(
    ("subclass", "octet"),
    [
        (0, 0x00),
        (Format.ULAW, 0x04),
        (Format.ALAW, 0x08),
        (Format.SLIN, 0x40),
        (127, 0x7F),
        (Format.LPC10, 0x87),
        (Format.G729, 0x88),
        (Format.G722, 0x8C),
        (1 << 34, 0xA2),
        (1 << 63, 0xBF),
        (ControlSubclass.STOP_TONES, 0xFF),
    ],
)
def test_subclass_octets_that_we_send(subclass: int, octet: int) -> None:
    assert encode_subclass(subclass) == octet
    assert decode_subclass(octet) == subclass


@pytest.mark.parametrize("octet", [0x04, 0x82, 0xC2])
def test_mu_law_is_taken_in_either_form(octet: int) -> None:
    assert decode_subclass(octet) == Format.ULAW


@given(st.binary(min_size=3, max_size=11), st.booleans())
def test_a_refusal_tells_lengths_alone(rest: bytes, full: bool) -> None:  # noqa: FBT001 - drawn by hypothesis
    datagram = (b"\x8f" if full else b"\x00\x00") + rest
    if len(datagram) >= 12:
        return
    with pytest.raises(FrameError) as refusal:
        parse_frame_untrusted(datagram)
    assert rest.hex() not in str(refusal.value)
    assert repr(rest)[2:-1] not in str(refusal.value)


@pytest.mark.parametrize("frame_type", [FrameType.DTMF_BEGIN, FrameType.DTMF_END])
def test_the_repr_of_a_frame_shows_no_digit(frame_type: FrameType) -> None:
    shown = {
        repr(replace(FRAME, frame_type=frame_type, subclass=ord(digit)))
        for digit in "0123456789*#ABCD"
    }
    assert len(shown) == 1


def test_the_repr_of_a_frame_shows_no_data() -> None:
    data = b"\x02\x0b12025550123"
    assert "2025550123" not in repr(FullFrame(1, 2, 3, 4, 5, 6, 1, data))
    assert "2025550123" not in repr(MiniFrame(1, 2, data))


def test_mini_frames_do_not_change() -> None:
    with pytest.raises(AttributeError):
        MiniFrame(1, 2, b"").data = b"x"  # type: ignore[misc]  # what is proved
