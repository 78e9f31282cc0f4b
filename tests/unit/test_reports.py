"""What two ends tell each other of how voice arrives."""

import random

from hypothesis import given
from hypothesis import strategies as st

from bridge.iax2.cipher import Opener, Sealer
from bridge.iax2.clock import ReceiveClock
from bridge.iax2.constants import ElementType, Format
from bridge.iax2.elements import InformationElements, parse_elements_untrusted
from bridge.iax2.reports import ReceptionReport
from bridge.iax2.voice import VoicePath

KEY = bytes(16)


def voice_path() -> VoicePath:
    return VoicePath(
        media_format=Format.ULAW,
        source_call_number=5,
        peer=(("192.0.2.9", 4569), 77),
        ciphers=(Sealer(KEY, random.Random(1).randbytes), Opener(KEY)),
        clock=ReceiveClock(),
        started_at=1000.0,
    )


def test_a_report_of_no_voice_is_all_zeros() -> None:
    report = ReceptionReport.of(None)
    assert report == ReceptionReport()
    assert {value.strip(b"\0") for _, value in report.elements()} == {b""}


def test_a_report_tells_what_was_seen() -> None:
    path = voice_path()
    path.received, path.jitter_ms, path.out_of_order = 75, 12.7, 3
    path.last_timestamp_ms = 99 * 20
    path.dropped_size, path.dropped_implausible = 4, 5
    seen = ReceptionReport.of(path)
    assert seen == ReceptionReport(12, 25, 25, 75, 0, 9, 3)
    report = seen.elements()
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
    sizes = {len(ReceptionReport.of(voice).elements().encode()) for voice in (path, None)}
    assert sizes == {34}


def test_a_report_is_read_as_it_was_written() -> None:
    report = ReceptionReport(1, 2, 3, 4, 5, 6, 7)
    assert ReceptionReport.read(parse_elements_untrusted(report.elements().encode())) == report


def test_what_a_peer_leaves_out_counts_as_zero() -> None:
    loss = InformationElements.of((ElementType.RR_LOSS, (7 << 24 | 9, 4)))
    assert ReceptionReport.read(loss) == ReceptionReport(loss_percent=7, lost=9)
    received = InformationElements.of((ElementType.RR_PKTS, (7, 4)))
    assert ReceptionReport.read(received) == ReceptionReport(received=7)


def test_a_pong_without_a_report_has_none() -> None:
    assert ReceptionReport.read(InformationElements()) is None


@given(st.lists(st.tuples(st.integers(44, 53), st.binary(max_size=12)), max_size=12))
def test_whatever_a_peer_tells_is_bounded(pairs: list[tuple[int, bytes]]) -> None:
    report = ReceptionReport.read(InformationElements(tuple(pairs)))
    if report is not None:
        assert 0 <= report.loss_percent <= 255
        assert max(report.received, report.dropped, report.jitter_ms, report.lost) < 1 << 32
