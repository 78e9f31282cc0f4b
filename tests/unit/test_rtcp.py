"""RTCP reports on the wire, and the statistics of RFC 3550's appendix A."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import BridgeError
from bridge.media import rtcp
from bridge.media.rtcp import ReceptionStatistics, Report, ReportBlock, RtcpError, SenderInfo

WORDS = st.integers(0, 0xFFFFFFFF)
BLOCKS = st.builds(
    ReportBlock,
    ssrc=WORDS,
    fraction_lost=st.integers(0, 255),
    lost=st.integers(-0x800000, 0x7FFFFF),
    highest_sequence=WORDS,
    jitter=WORDS,
    last_report=WORDS,
    delay=WORDS,
)
SENDERS = st.builds(
    SenderInfo,
    ntp_timestamp=st.integers(0, 2**64 - 1),
    rtp_timestamp=WORDS,
    packets=WORDS,
    octets=WORDS,
)
REPORTS = st.builds(
    Report, ssrc=WORDS, sender=st.none() | SENDERS, blocks=st.lists(BLOCKS, max_size=31).map(tuple)
)

SENDER_REPORT = bytes.fromhex(
    "81c8000c"  # version 2, one block, SR, 12 words
    "11223344"
    "0000000500000000"  # 5 s
    "000000a0"
    "0000000a"
    "00000640"
    "55667788"  # block
    "40fffffe"  # a quarter lost; minus 2 in all
    "00010002"
    "00000008"
    "00050000"
    "00010000"
    "81ca0003"  # SDES of one source, 3 words
    "11223344"
    "01046162"
    "63640000"  # CNAME "abcd", end
)
A_REPORT = Report(
    ssrc=0x11223344,
    sender=SenderInfo(ntp_timestamp=5 << 32, rtp_timestamp=160, packets=10, octets=1600),
    blocks=(ReportBlock(0x55667788, 64, -2, 0x10002, 8, 5 << 16, 65536),),
)


def test_a_sender_report_octet_by_octet() -> None:
    assert rtcp.build_report(0x11223344, "abcd", A_REPORT.sender, A_REPORT.blocks) == SENDER_REPORT
    assert rtcp.parse_rtcp_untrusted(SENDER_REPORT) == (A_REPORT,)


def test_a_receiver_report_octet_by_octet() -> None:
    datagram = bytes.fromhex("80c90001 00000007 81ca0003 00000007 01056162 63646500")
    assert rtcp.build_report(7, "abcde") == datagram
    assert rtcp.parse_rtcp_untrusted(datagram) == (Report(7),)


@given(REPORTS, st.text("abc+/-_", min_size=1, max_size=40))
def test_what_is_built_parses_to_itself(report: Report, cname: str) -> None:
    datagram = rtcp.build_report(report.ssrc, cname, report.sender, report.blocks)
    assert len(datagram) % 4 == 0
    assert rtcp.parse_rtcp_untrusted(datagram) == (report,)


def test_counters_that_grew_past_their_field_wrap_or_saturate() -> None:
    datagram = rtcp.build_report(
        1,
        "x",
        SenderInfo(0, 2**32 + 5, 2**32 + 6, 2**32 + 7),
        [
            ReportBlock(2, 0, 2**30, 2**40 + 8, 0),
            ReportBlock(3, 0, -(2**30), 0, 0, delay=2**32 + 9),
        ],
    )
    (report,) = rtcp.parse_rtcp_untrusted(datagram)
    assert report.sender == SenderInfo(0, 5, 6, 7)
    assert report.blocks[0] == ReportBlock(2, 0, 0x7FFFFF, 8, 0)
    assert report.blocks[1] == ReportBlock(3, 0, -0x800000, 0, 0, delay=9)


@given(st.binary(max_size=200))
def test_garbage_raises_only_rtcp_error(datagram: bytes) -> None:
    with contextlib.suppress(RtcpError):
        rtcp.parse_rtcp_untrusted(datagram)


@given(REPORTS, st.data())
def test_a_damaged_report_raises_only_rtcp_error(report: Report, data: st.DataObject) -> None:
    datagram = bytearray(rtcp.build_report(report.ssrc, "c", report.sender, report.blocks))
    for index in data.draw(st.lists(st.integers(0, len(datagram) - 1), max_size=4)):
        datagram[index] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(datagram)))
    for damaged in (bytes(datagram), bytes(datagram[:cut])):
        with contextlib.suppress(RtcpError):
            assert all(isinstance(r, Report) for r in rtcp.parse_rtcp_untrusted(damaged))


@pytest.mark.parametrize(
    "datagram",
    [
        "",
        "80c9",
        "80c9000100000007" + "80c9",  # a second header cut short
        "40c9000100000007",  # version 1
        "80c9000200000007",  # longer than the datagram
        "80c90000",  # no SSRC
        "81c9000100000007",  # a block that is not there
        "80c8000100000007",  # a sender report without its sender
        "a0c9000100000007",  # padding on the first packet
        "80cb000100000007",  # BYE first
    ],
)
def test_what_is_no_compound_report(datagram: str) -> None:
    with pytest.raises(RtcpError):
        rtcp.parse_rtcp_untrusted(bytes.fromhex(datagram))
    assert issubclass(RtcpError, BridgeError)


def test_other_packets_and_extensions_are_skipped() -> None:
    extended = bytes.fromhex("80c9000200000007 deadbeef")
    goodbye = bytes.fromhex("81cb000100000007")
    second = bytes.fromhex("a0c9000200000008 00000004")
    reports = rtcp.parse_rtcp_untrusted(extended + goodbye + second)
    assert reports == (Report(7), Report(8))


def test_names_are_random_and_short_enough() -> None:
    names = {rtcp.random_cname() for _ in range(100)}
    assert len(names) == 100
    assert all(len(name) == 16 and name.isascii() for name in names)


def test_interval_is_5_s_spread_by_half() -> None:
    assert rtcp.report_interval_s(lambda low, _high: low) == 2.5
    assert rtcp.report_interval_s(lambda _low, high: high) == 7.5
    assert len({rtcp.report_interval_s() for _ in range(20)}) > 1


def test_ntp_timestamp_and_round_trip() -> None:
    assert rtcp.ntp_timestamp(1.5) == 0x1_8000_0000
    sent, arrived = rtcp.ntp_timestamp(100.0), rtcp.ntp_timestamp(100.75)
    block = ReportBlock(1, 0, 0, 0, 0, last_report=sent >> 16 & 0xFFFFFFFF, delay=0x8000)
    assert rtcp.round_trip_s(block, arrived) == 0.25
    assert rtcp.round_trip_s(block, sent) is None
    assert rtcp.round_trip_s(ReportBlock(1, 0, 0, 0, 0), arrived) is None


def test_round_trip_across_the_wrap_of_the_short_timestamp() -> None:
    sent, arrived = rtcp.ntp_timestamp(65535.9), rtcp.ntp_timestamp(65536.1)
    block = ReportBlock(1, 0, 0, 0, 0, last_report=sent >> 16 & 0xFFFFFFFF)
    assert rtcp.round_trip_s(block, arrived) == pytest.approx(0.2, abs=0.001)


def feed(statistics: ReceptionStatistics, sequences: list[int], start_s: float = 0.0) -> None:
    for index, sequence in enumerate(sequences):
        statistics.update(sequence & 0xFFFF, (sequence * 160) & 0xFFFFFFFF, start_s + index * 0.02)


def test_before_any_packet() -> None:
    statistics = ReceptionStatistics()
    assert (statistics.expected, statistics.lost, statistics.jitter) == (0, 0, 0)
    assert statistics.report_block(9, 1.0) == ReportBlock(9, 0, 0, 0, 0)


def test_sequence_wrap_and_loss() -> None:
    statistics = ReceptionStatistics()
    feed(statistics, [65533, 65534, 65535, 65536, 65539, 65540])
    assert statistics.highest_sequence == 0x10004
    assert (statistics.received, statistics.expected, statistics.lost) == (6, 8, 2)
    block = statistics.report_block(9, 0.2)
    assert (block.fraction_lost, block.lost, block.highest_sequence) == (64, 2, 0x10004)


def test_fraction_is_of_the_interval_and_loss_of_all() -> None:
    statistics = ReceptionStatistics()
    feed(statistics, [1, 2, 4])
    assert statistics.report_block(9, 0.0).fraction_lost == 64
    feed(statistics, [5, 6])
    block = statistics.report_block(9, 0.0)
    assert (block.fraction_lost, block.lost) == (0, 1)
    assert statistics.report_block(9, 0.0).fraction_lost == 0


def test_late_and_duplicate_packets_do_not_raise_the_highest() -> None:
    statistics = ReceptionStatistics()
    feed(statistics, [10, 12, 11, 12, 12])
    assert statistics.highest_sequence == 12
    assert statistics.lost == -2
    assert statistics.report_block(9, 0.0).fraction_lost == 0
    assert statistics.report_block(9, 0.0).lost == -2


def test_a_jump_counts_only_when_a_second_packet_follows_it() -> None:
    statistics = ReceptionStatistics()
    feed(statistics, [100, 101])
    feed(statistics, [30000])
    assert (statistics.received, statistics.highest_sequence) == (2, 101)
    feed(statistics, [30001, 30002])
    assert (statistics.received, statistics.lost, statistics.highest_sequence) == (2, 0, 30002)


def test_jitter_of_an_even_stream_is_0() -> None:
    statistics = ReceptionStatistics()
    feed(statistics, list(range(2**25 // 160, 2**25 // 160 + 100)))
    assert statistics.jitter == 0


def test_jitter_approaches_the_mean_deviation() -> None:
    statistics = ReceptionStatistics()
    for index in range(400):
        late_s = 0.010 if index % 2 else 0.0
        statistics.update(index, index * 160, 1000 + index * 0.02 + late_s)
    # The integer form of appendix A.8 settles within one unit below the true value.
    assert statistics.jitter == pytest.approx(80, abs=1)
    assert statistics.jitter_ms == pytest.approx(10, abs=0.1)
    assert statistics.report_block(9, 0.0).jitter == statistics.jitter


def test_jitter_is_untouched_by_the_wrap_of_the_rtp_clock_and_by_events() -> None:
    statistics = ReceptionStatistics()
    for index in range(10):
        statistics.update(index, (2**32 - 800 + index * 160) & 0xFFFFFFFF, 5 + index * 0.02)
    statistics.update(10, None, 5.5)
    assert statistics.jitter == 0
    assert statistics.received == 11


def test_last_sender_report_and_its_delay() -> None:
    statistics = ReceptionStatistics()
    feed(statistics, [1])
    statistics.sender_reported(SenderInfo(0x1111_2222_3333_4444, 0, 0, 0), 10.0)
    block = statistics.report_block(9, 10.5)
    assert (block.last_report, block.delay) == (0x2222_3333, 0x8000)
