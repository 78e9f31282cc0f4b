"""What is answered to frames that only ask."""

import random

import pytest

from bridge.iax2.cipher import Opener, Sealer
from bridge.iax2.clock import ReceiveClock
from bridge.iax2.constants import ElementType, Format, FrameType, IaxSubclass
from bridge.iax2.elements import parse_elements_untrusted
from bridge.iax2.frames import FullFrame
from bridge.iax2.queries import receiver_report, reply_to_query
from bridge.iax2.voice import VoicePath

KEY = bytes(16)


def query(subclass: int) -> FullFrame:
    return FullFrame(77, 5, 400, 0, 0, FrameType.IAX, subclass)


def voice_path() -> VoicePath:
    return VoicePath(
        media_format=Format.ULAW,
        source_call_number=5,
        peer=(("192.0.2.9", 4569), 77),
        ciphers=(Sealer(KEY, random.Random(1).randbytes), Opener(KEY)),
        clock=ReceiveClock(),
        started_at=1000.0,
    )


@pytest.mark.parametrize("subclass", [IaxSubclass.PING, IaxSubclass.POKE])
def test_a_ping_is_answered_with_a_report(subclass: IaxSubclass) -> None:
    reply = reply_to_query(query(subclass), None)
    assert reply is not None
    assert (reply.subclass, reply.echoes) == (IaxSubclass.PONG, True)
    assert len(parse_elements_untrusted(reply.data).pairs) == 6


def test_a_lagrq_is_answered_with_its_timestamp() -> None:
    assert reply_to_query(query(IaxSubclass.LAGRQ), None) == (IaxSubclass.LAGRP, b"", True)


def test_a_transfer_is_refused() -> None:
    assert reply_to_query(query(IaxSubclass.TXREQ), None) == (IaxSubclass.TXREJ, b"", False)


@pytest.mark.parametrize(
    "subclass",
    [
        IaxSubclass.PONG,
        IaxSubclass.LAGRP,
        IaxSubclass.QUELCH,
        IaxSubclass.UNQUELCH,
        IaxSubclass.TXREL,
        IaxSubclass.TXREJ,
        IaxSubclass.TRANSFER,
        IaxSubclass.UNSUPPORT,
        IaxSubclass.MWI,
    ],
)
def test_what_only_tells_is_acknowledged_and_no_more(subclass: IaxSubclass) -> None:
    assert reply_to_query(query(subclass), None) is None


@pytest.mark.parametrize(
    "subclass",
    [
        IaxSubclass.REGREQ,
        IaxSubclass.DPREQ,
        IaxSubclass.DIAL,
        IaxSubclass.TXCNT,
        IaxSubclass.TXREADY,
        IaxSubclass.TXMEDIA,
        IaxSubclass.PROVISION,
        IaxSubclass.FWDOWNL,
        31,
        127,
        -1,
    ],
)
def test_what_we_do_not_know_is_named_in_unsupport(subclass: int) -> None:
    reply = reply_to_query(query(subclass), None)
    assert reply is not None
    assert (reply.subclass, reply.echoes) == (IaxSubclass.UNSUPPORT, False)
    elements = parse_elements_untrusted(reply.data)
    assert elements.pairs == ((ElementType.IAX_UNKNOWN, bytes((subclass & 0xFF,))),)


def test_a_report_of_no_voice_is_all_zeros() -> None:
    report = receiver_report(None)
    assert {value.strip(b"\0") for _, value in report} == {b""}


def test_a_report_tells_what_was_seen() -> None:
    path = voice_path()
    path.received, path.jitter_ms, path.out_of_order = 75, 12.7, 3
    path.last_timestamp_ms = 99 * 20
    path.dropped_size, path.dropped_implausible = 4, 5
    report = receiver_report(path)
    assert report.uint(ElementType.RR_JITTER, 4) == 12
    assert report.uint(ElementType.RR_LOSS, 4) == 25 << 24 | 25
    assert report.uint(ElementType.RR_PKTS, 4) == 75
    assert report.uint(ElementType.RR_DELAY, 2) == 0
    assert report.uint(ElementType.RR_DROPPED, 4) == 9
    assert report.uint(ElementType.RR_OOO, 4) == 3


def test_a_report_has_one_size_whatever_it_tells() -> None:
    path = voice_path()
    path.received = path.dropped_size = path.out_of_order = 2**40
    path.jitter_ms = 2.0**40
    assert len(receiver_report(path).encode()) == len(receiver_report(None).encode()) == 34
