import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.media.rtp import HEADER_OCTETS, RtpError, RtpPacket, parse_rtp_untrusted

PAYLOAD = bytes(range(160))
PACKET = RtpPacket(
    payload_type=8,
    marker=True,
    sequence=0x1234,
    timestamp=0x56789ABC,
    ssrc=0xDEADBEEF,
    payload=PAYLOAD,
)
DATAGRAM = bytes.fromhex("80 88 1234 56789abc deadbeef") + PAYLOAD


def with_first(first: int, after_header: bytes, tail: bytes = b"") -> bytes:
    return bytes([first]) + DATAGRAM[1:HEADER_OCTETS] + after_header + PAYLOAD + tail


def test_layout_of_a_plain_packet() -> None:
    assert PACKET.encode() == DATAGRAM
    assert parse_rtp_untrusted(DATAGRAM) == PACKET


def test_payload_may_be_empty() -> None:
    assert parse_rtp_untrusted(DATAGRAM[:HEADER_OCTETS]).payload == b""


@pytest.mark.parametrize(
    "datagram",
    [
        with_first(0x82, b"CSRCcsrc"),
        with_first(0x90, bytes.fromhex("BEDE 0001 10FF0000")),
        with_first(0x90, bytes.fromhex("BEDE 0000")),
        with_first(0xA0, b"", b"\0\0\0\4"),
        with_first(0xB1, b"CSRC" + bytes.fromhex("BEDE 0001 10FF0000"), b"\1"),
    ],
    ids=["sources", "extension", "empty extension", "padding", "all"],
)
def test_what_surrounds_the_payload_is_left_out(datagram: bytes) -> None:
    assert parse_rtp_untrusted(datagram) == PACKET


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        DATAGRAM[: HEADER_OCTETS - 1],
        b"\x00" + DATAGRAM[1:],
        b"\x40" + DATAGRAM[1:],
        b"\xc0" + DATAGRAM[1:],
        b"\x8f" + DATAGRAM[1:HEADER_OCTETS],
        b"\x90" + DATAGRAM[1:HEADER_OCTETS],
        b"\x90" + DATAGRAM[1:HEADER_OCTETS] + bytes.fromhex("BEDE FFFF") + PAYLOAD,
        with_first(0xA0, b"", b"\0"),
        with_first(0xA0, b"", b"\xff"),
    ],
    ids=[
        "nothing",
        "short",
        "version 0",
        "version 1",
        "version 3",
        "sources cut",
        "no extension",
        "extension cut",
        "padding of 0",
        "padding of all",
    ],
)
def test_what_does_not_fit_is_refused(datagram: bytes) -> None:
    with pytest.raises(RtpError):
        parse_rtp_untrusted(datagram)


@given(st.binary(max_size=80))
def test_garbage_raises_rtp_error_alone(datagram: bytes) -> None:
    try:
        packet = parse_rtp_untrusted(datagram)
    except RtpError:
        return
    assert datagram[HEADER_OCTETS:].count(packet.payload) > 0


def test_payload_is_not_shown() -> None:
    assert "payload=" not in repr(PACKET)
