"""The demo's eavesdropper reads what is in clear, and never takes one for the other."""

import os
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.audit.wire import Kind, Reading, element_text, read_datagram
from bridge.iax2.cipher import Sealer
from bridge.iax2.constants import (
    Cause,
    ControlSubclass,
    ElementType,
    Format,
    FrameType,
    IaxSubclass,
)
from bridge.iax2.elements import InformationElements
from bridge.iax2.frames import FullFrame, MiniFrame
from bridge.iax2.registrar import apparent_address
from tests.vectors.capture import read_capture

ENCRYPTED: Final = ("a-md5-22-22", "b1-md5-16-to-22")
SEALER: Final = Sealer(bytes(16), os.urandom)


def frame(frame_type: int, subclass: int, data: bytes = b"") -> FullFrame:
    return FullFrame(7, 9, 20, 3, 4, frame_type, subclass, data)


def new(**changed: bytes) -> bytes:
    elements = InformationElements.of(
        (ElementType.VERSION, (2, 2)),
        (ElementType.CALLED_NUMBER, changed.get("called", b"enc")),
        (ElementType.USERNAME, "branch-7"),
        (ElementType.ENCRYPTION, (1, 2)),
        (ElementType.CAPABILITY, (Format.ULAW | Format.ALAW, 4)),
        (ElementType.CALLTOKEN, b""),
    )
    return frame(FrameType.IAX, IaxSubclass.NEW, elements.encode()).encode()


def test_a_new_is_read_in_full() -> None:
    reading = read_datagram(new())
    assert reading.kind is Kind.CLEAR
    assert (reading.source_call_number, reading.destination_call_number) == (7, 9)
    assert reading.name == "NEW"
    assert reading.fields == "timestamp 20 ms, oseqno 3, iseqno 4"
    assert reading.elements == (
        ("VERSION", "2"),
        ("CALLED_NUMBER", "enc"),
        ("USERNAME", "branch-7"),
        ("ENCRYPTION", "AES128"),
        ("CAPABILITY", "ULAW, ALAW"),
        ("CALLTOKEN", "(empty)"),
    )
    assert ElementType.USERNAME in reading.element_types


def test_octets_that_are_no_text_are_shown_as_hexadecimal_digits() -> None:
    assert ("CALLED_NUMBER", "1b5b") in read_datagram(new(called=b"\x1b[")).elements
    long_number = InformationElements.of((ElementType.APPARENT_ADDR, bytes(range(16))))
    datagram = frame(FrameType.IAX, IaxSubclass.REGACK, long_number.encode()).encode()
    assert read_datagram(datagram).elements == (("APPARENT_ADDR", bytes(range(16)).hex()),)


@pytest.mark.parametrize(
    ("element", "value", "text"),
    [
        (ElementType.CODEC_PREFS, b"DE", "ULAW, ALAW"),
        (ElementType.CODEC_PREFS, b"D?", "D?"),
        (ElementType.CODEC_PREFS, b"", "(empty)"),
        (ElementType.APPARENT_ADDR, apparent_address(("192.0.2.7", 4569)), "192.0.2.7:4569"),
        (ElementType.APPARENT_ADDR, apparent_address(("2001:db8::7", 1)), "[2001:db8::7]:1"),
    ],
)
def test_codecs_and_addresses_are_shown_in_words(
    element: ElementType, value: bytes, text: str
) -> None:
    assert element_text(element, value) == text


@pytest.mark.parametrize(
    ("clear", "name"),
    [
        (frame(FrameType.DTMF_END, ord("5")), "DTMF_END"),
        (frame(FrameType.CONTROL, ControlSubclass.ANSWER), "CONTROL ANSWER"),
        (frame(FrameType.VOICE, Format.ULAW, bytes(160)), "VOICE"),
        (frame(FrameType.IAX, IaxSubclass.ACK), "ACK"),
        (frame(FrameType.IAX, 77), "type 6 subclass 77"),
        (frame(99, 1), "type 99 subclass 1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_leak_is_named(clear: FullFrame, name: str) -> None:
    reading = read_datagram(clear.encode())
    assert (reading.kind, reading.name) == (Kind.CLEAR, name)


@pytest.mark.parametrize("size", range(36 - 12, 36 + 200))
def test_a_frame_in_clear_is_found_at_each_size(size: int) -> None:
    """Among them those that an encrypted frame has."""
    cause = InformationElements.of((ElementType.CAUSECODE, (Cause.NORMAL_CLEARING, 1)))
    padding = InformationElements.of((ElementType.CAUSE, bytes(size - 5)))
    data = cause.encode() + padding.encode()
    assert len(data) == size
    reading = read_datagram(frame(FrameType.IAX, IaxSubclass.HANGUP, data).encode())
    assert (reading.kind, reading.name) == (Kind.CLEAR, "HANGUP")


def test_audio_in_clear_is_found() -> None:
    reading = read_datagram(MiniFrame(7, 40, bytes(160)).encode())
    assert (reading.kind, reading.name) == (Kind.CLEAR, "audio")


def test_encrypted_frames_show_their_call_numbers_alone() -> None:
    digit = frame(FrameType.DTMF_END, ord("5"))
    assert read_datagram(SEALER.seal_full(digit.encode())) == Reading(Kind.ENCRYPTED, 7, 9)
    mini = MiniFrame(7, 40, bytes(160)).encode()
    assert read_datagram(mini[:2] + SEALER.encrypt(mini[2:])) == Reading(Kind.MINI, 7)


def test_a_retransmission_shows() -> None:
    again = FullFrame(7, 9, 20, 3, 4, FrameType.CNG, 0, retransmission=True)
    assert read_datagram(SEALER.seal_full(again.encode())).retransmission


@pytest.mark.parametrize("name", ENCRYPTED)
def test_a_real_call_is_encrypted_behind_its_challenge(name: str) -> None:
    readings = [read_datagram(datagram.octets) for datagram in read_capture(name).datagrams]
    clear = [reading.name for reading in readings if reading.kind is Kind.CLEAR]
    assert set(clear) <= {"NEW", "CALLTOKEN", "AUTHREQ", "POKE", "PONG", "ACK"}
    assert clear.count("AUTHREQ") == 1
    assert {reading.kind for reading in readings[8:]} <= {Kind.ENCRYPTED, Kind.MINI}


def test_a_real_call_in_clear_hides_nothing() -> None:
    for datagram in read_capture("c-plain-22-22").datagrams:
        assert read_datagram(datagram.octets).kind is Kind.CLEAR


@given(st.binary(max_size=300))
def test_anything_can_be_read(datagram: bytes) -> None:
    assert read_datagram(datagram).kind in Kind
