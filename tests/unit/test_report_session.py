from bridge.media.report_session import ReportSession
from bridge.media.rtcp import (
    Report,
    ReportBlock,
    SenderInfo,
    build_report,
    ntp_timestamp,
    parse_rtcp_untrusted,
)

OURS, PHONES = 0x1111, 0x2222
NOTHING_SENT = (0, 0)


def built(
    session: ReportSession, now: float = 50.0, sent: tuple[int, int] = NOTHING_SENT
) -> Report:
    (report,) = parse_rtcp_untrusted(session.build(now, 8000, sent))
    return report


def test_without_any_packet_it_is_an_empty_receiver_report() -> None:
    assert built(ReportSession(OURS)) == Report(OURS)


def test_cname_is_of_this_session_alone() -> None:
    first, second = (ReportSession(OURS).build(1.0, 0, NOTHING_SENT) for _ in range(2))
    assert first != second


def test_who_sends_reports_so_until_two_intervals_without() -> None:
    session = ReportSession(OURS)
    sender = SenderInfo(ntp_timestamp(50.0), 8000, 7, 1120)
    assert built(session, sent=(7, 1120)).sender == sender
    assert built(session, sent=(7, 1120)).sender == sender
    assert built(session, sent=(7, 1120)).sender is None
    assert built(session, sent=(8, 1280)).sender is not None


def test_the_phones_stream_is_reported() -> None:
    session = ReportSession(OURS)
    session.change_source(PHONES)
    assert built(session).blocks == ()
    for sequence in (5, 6, 8):
        session.statistics.update(sequence, sequence * 160, sequence * 0.02)
    (block,) = built(session).blocks
    assert (block.ssrc, block.lost, block.highest_sequence) == (PHONES, 1, 8)


def test_the_phones_report_is_echoed_for_its_round_trip() -> None:
    session = ReportSession(OURS)
    session.change_source(PHONES)
    session.statistics.update(1, 160, 1.0)
    session.receive(build_report(PHONES, "x", SenderInfo(0xAAAABBBB_CCCCDDDD, 0, 0, 0)), 49.0)
    (block,) = built(session).blocks
    assert (block.last_report, block.delay) == (0xBBBBCCCC, 0x10000)


def test_report_of_another_stream_is_not_echoed() -> None:
    session = ReportSession(OURS)
    session.change_source(PHONES)
    session.statistics.update(1, 160, 1.0)
    session.receive(build_report(0x3333, "x", SenderInfo(1 << 40, 0, 0, 0)), 49.0)
    assert built(session).blocks[0].last_report == 0


def test_what_the_phone_says_of_our_stream_is_kept() -> None:
    session = ReportSession(OURS)
    last_report = ntp_timestamp(10.0) >> 16 & 0xFFFFFFFF
    ours = ReportBlock(OURS, 0, 12, 500, 3, last_report, 0x8000)
    others = ReportBlock(0x3333, 0, 99, 500, 3)
    session.receive(build_report(PHONES, "x", blocks=[ours, others]), 10.75)
    assert session.reported_lost == 12
    assert session.round_trip_s is not None
    assert abs(session.round_trip_s - 0.25) < 0.001
    session.receive(build_report(PHONES, "x", blocks=[ReportBlock(OURS, 0, 13, 501, 3)]), 11.0)
    assert session.reported_lost == 13
    assert session.round_trip_s is not None
