import select
import socket
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import pytest

from bridge.iax2.constants import Format
from bridge.media.rtcp import Report, SenderInfo, build_report, parse_rtcp_untrusted
from bridge.media.telephone_event import TelephoneEventSender
from tests.lab.relay_calls import (
    ULAW_SILENCE,
    Phone,
    RelayCalls,
    assert_one_frame_each_slot,
    remote_of,
    speech,
    talk,
)


@pytest.fixture
def calls() -> Iterator[RelayCalls]:
    with RelayCalls() as calls:
        yield calls


class Beep:
    """Local audio whose frames are numbered."""

    def __init__(self) -> None:
        self.frames = 0

    def next_frame(self) -> bytes:
        self.frames += 1
        return bytes([200, self.frames]) * 80


class TestLocalAudioAndDigits:
    def test_tone_replaces_the_link_and_the_stream_stays_one(self, calls: RelayCalls) -> None:
        phone, media, far = calls.connected()
        calls.from_link(far, 20, speech(1))
        media.play(Beep(), calls.now)
        for number in range(2, 7):
            calls.slot()
            calls.from_link(far, 20 * number, speech(number))
        media.play(None, calls.now)
        calls.slot()
        calls.from_link(far, 140, speech(7))
        packets = phone.received()
        assert [packet.payload[0] for packet in packets] == [2, 200, 200, 200, 200, 200, 8]
        assert [packet.marker for packet in packets] == [True, True, *[False] * 4, True]
        for before, after in pairwise(packets):
            assert after.ssrc == before.ssrc
            assert after.sequence - before.sequence & 0xFFFF == 1
            assert 160 <= after.timestamp - before.timestamp & 0xFFFFFFFF <= 320
        assert media.counters.unheard == 5

    def test_tone_that_fills_in_for_the_link_ends_with_its_voice(self, calls: RelayCalls) -> None:
        phone, media, far = calls.connected()
        media.play(Beep(), calls.now, until_voice=True)
        calls.slot()
        calls.from_link(far, 20, speech(1))
        calls.slot()
        calls.from_link(far, 40, speech(2))
        assert [packet.payload[0] for packet in phone.received()] == [200, 2, 3]

    def test_tone_that_ends_during_a_digit_leaves_the_digit_whole(self, calls: RelayCalls) -> None:
        phone, media, far = calls.connected()
        media.play(Beep(), calls.now, until_voice=True)
        media.send_digit("1", calls.now)
        for number in range(1, 12):
            calls.from_link(far, 20 * number, speech(number))
            calls.slot()
        types = [packet.payload_type for packet in phone.received()]
        assert types == [101] * 7 + [0] * 3

    def test_tone_before_the_link_is_connected(self, calls: RelayCalls) -> None:
        phone = calls.phone()
        media = calls.call(phone)
        media.play(Beep(), calls.now)
        calls.run(0.2)
        assert len(phone.received()) == 10
        assert calls.sends == []
        far = calls.connect(media)
        calls.run(0.2)
        assert len(phone.received()) == 10
        assert_one_frame_each_slot(far)

    def test_digit_is_sent_while_audio_pauses(self, calls: RelayCalls) -> None:
        phone, media, far = calls.connected()
        calls.from_link(far, 20, speech(1))
        assert media.send_digit("5", calls.now)
        for number in range(2, 20):
            calls.slot()
            calls.from_link(far, 20 * number, speech(number))
        packets = phone.received()
        events = [packet for packet in packets if packet.payload_type == 101]
        assert {packet.payload[0] for packet in events} == {5}
        assert len({packet.timestamp for packet in events}) == 1
        assert [packet.marker for packet in events] == [True] + [False] * (len(events) - 1)
        assert [bool(packet.payload[1] & 0x80) for packet in events[-4:]] == [False] + [True] * 3
        for before, after in pairwise(packets):
            assert after.sequence - before.sequence & 0xFFFF == 1
        assert packets[0].payload == speech(1)
        assert packets[-1].payload == speech(19)
        assert packets.index(events[-1]) - packets.index(events[0]) == len(events) - 1

    def test_digits_wait_for_each_other(self, calls: RelayCalls) -> None:
        phone, media, _ = calls.connected()
        for digit in "12#":
            assert media.send_digit(digit, calls.now)
        calls.run(1.0)
        events = phone.received()
        starts = [packet.payload[0] for packet in events if packet.marker]
        assert starts == [1, 2, 11]
        assert len({packet.timestamp for packet in events}) == 3
        assert media.counters.digits_sent == 3

    def test_digit_for_a_phone_that_takes_none(self, calls: RelayCalls) -> None:
        media = calls.call(calls.phone(), telephone_event=False)
        calls.connect(media)
        assert media.format == Format.ULAW
        assert not media.send_digit("5", calls.now)
        assert not calls.relay.open("127.0.0.1").send_digit("5", calls.now)

    def test_digit_of_the_phone_is_reported_once_and_is_no_audio(self, calls: RelayCalls) -> None:
        phone, media, far = calls.connected()
        digits: list[str] = []
        media.on_digit = digits.append
        talk(calls, phone, media, range(10))
        sender = TelephoneEventSender()
        sender.queue("7")
        sequence = 9
        while sender.active:
            packet = sender.next_packet()
            if packet is not None:
                sequence += 1
                phone.send(media, sequence, packet[2], 101, timestamp=1600)
            calls.slot()
        talk(calls, phone, media, range(sequence + 1, sequence + 11))
        assert digits == ["7"]
        assert media.counters.digits_received == 1
        assert far.frames[10].payload == speech(9)
        assert {frame.payload for frame in far.frames[11:-10]} == {ULAW_SILENCE}
        assert far.frames[-1].payload == speech(sequence + 10)
        assert_one_frame_each_slot(far)

    def test_digit_before_the_answer_is_reported_at_once(self, calls: RelayCalls) -> None:
        phone = calls.phone()
        media = calls.call(phone)
        digits: list[str] = []
        media.on_digit = digits.append
        phone.send(media, 1, bytes.fromhex("030A00A0"), 101)
        readable, _, _ = select.select([calls.relay.fileno()], [], [], 0)
        assert readable
        calls.relay.rtp_readable(calls.now)
        assert digits == ["3"]


class TestReports:
    def rtcp_socket(self, phone: Phone) -> socket.socket:
        control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        control.bind((phone.host, 0))
        return control

    def test_both_streams_are_reported_each_few_seconds(self, calls: RelayCalls) -> None:
        phone = calls.phone()
        media = calls.relay.open(phone.host)
        with self.rtcp_socket(phone) as control:
            remote = replace(remote_of(phone), rtcp_port=control.getsockname()[1])
            media.set_remote(remote)
            far = calls.connect(media)
            for number in range(1, 1001):
                phone.send(media, number, speech(number))
                calls.from_link(far, 20 * number, speech(number))
                calls.slot()
            reports: list[Report] = []
            while len(reports) < 2:
                reports += parse_rtcp_untrusted(control.recv(1500))
        sender = reports[0].sender
        assert sender is not None
        packets = phone.received()
        assert reports[0].ssrc == packets[0].ssrc
        assert sender.packets * 160 == sender.octets
        assert 100 <= sender.packets <= 400
        (block,) = reports[0].blocks
        assert (block.ssrc, block.lost) == (phone.ssrc, 0)

    def test_the_phones_reports_are_read_and_strangers_are_not(self, calls: RelayCalls) -> None:
        phone, media, _ = calls.connected()
        talk(calls, phone, media, range(3))
        with self.rtcp_socket(phone) as control:
            report = build_report(phone.ssrc, "x", SenderInfo(1 << 40, 0, 3, 480))
            for datagram in (report, b"", b"garbage", report):
                control.sendto(datagram, ("127.0.0.1", media.rtp_port + 1))
            calls.slot()
            assert media.latch.rtcp_destination == control.getsockname()
        assert media.counters.malformed == 2
        assert media.reports.statistics.report_block(1, calls.now).last_report == 1 << 24

    def test_report_of_a_stranger_is_dropped(self, calls: RelayCalls) -> None:
        phone, media, _ = calls.connected()
        with self.rtcp_socket(phone) as control:
            control.sendto(build_report(1, "x"), ("127.0.0.1", media.rtp_port + 1))
            calls.slot()
        assert media.counters.wrong_source == 1

    def test_no_report_where_nothing_may_be_sent(self, calls: RelayCalls) -> None:
        phone, media, _ = calls.connected()
        media.set_remote(replace(remote_of(phone), host="10.1.2.3"))
        calls.run(20.0)
        assert media.counters.send_failed == 0

    def test_reports_that_the_network_does_not_take_are_counted(self, calls: RelayCalls) -> None:
        _, media, _ = calls.connected()
        media.latch.rtcp_destination = ("255.255.255.255", 9)  # not without SO_BROADCAST
        media.receive_report(calls.now)
        media.send_report(calls.now)
        assert media.counters.receive_failed == 1
        assert media.counters.send_failed == 1

    def test_closed_calls_report_nothing(self, calls: RelayCalls) -> None:
        _, media, _ = calls.connected()
        calls.connected()
        media.close()
        calls.run(20.0)
        assert media.counters.send_failed == 0
