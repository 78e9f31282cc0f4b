"""Packets of 10 to 60 ms on a link of 20 ms: what goes in comes out, whole and on the clock."""

import os
import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import count, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.iax2.constants import Format
from bridge.media import codecs
from bridge.media.call_media import CallMedia
from bridge.media.counters import MediaCounters
from bridge.media.repacking import Repacketizer, RepackingBuffer, packet_ms
from bridge.media.rtp import RtpPacket, parse_rtp_untrusted
from bridge.media.srtp import SrtpKeys, Suite
from tests.lab.relay_calls import (
    ALAW_SILENCE,
    ULAW_SILENCE,
    FarEnd,
    Phone,
    RelayCalls,
    assert_one_frame_each_slot,
    remote_of,
    speech,
)

LENGTHS_MS = (10, 30, 40, 50, 60)
WHERE = ("127.0.0.1", 4000)


@pytest.fixture
def calls() -> Iterator[RelayCalls]:
    with RelayCalls() as relay_calls:
        yield relay_calls


def audio(octets: int, seed: int = 1) -> bytes:
    """Audio without silence in it, each part of which can be told from the others."""
    return bytes(octet % 254 + 1 for octet in random.Random(seed).randbytes(octets))


def send_stream(calls: RelayCalls, phone: Phone, media: CallMedia, whole: bytes, ms: int) -> None:
    """Let a phone send G.711 in packets of `ms`, in time; sequence numbers wrap on the way."""
    step = ms * 8
    for number, at in enumerate(range(0, len(whole), step)):
        sequence = 65_530 + number & 0xFFFF
        phone.send(media, sequence, whole[at : at + step], timestamp=at + 0xFFFF_F000 & 0xFFFF_FFFF)
        calls.run(ms / 1000)


def heard(far: FarEnd, silence: bytes = ULAW_SILENCE) -> bytes:
    """Return all that the far end got, without the silence at both ends."""
    return b"".join(frame.payload for frame in far.frames).strip(silence[:1])


class TestFromThePhone:
    @pytest.mark.parametrize("ms", LENGTHS_MS)
    def test_a_stream_arrives_whole_in_frames_of_20_ms(self, calls: RelayCalls, ms: int) -> None:
        phone, media, far = calls.connected()
        whole = audio(8 * 1200)
        send_stream(calls, phone, media, whole, ms)
        calls.run(0.2)
        assert heard(far).replace(ULAW_SILENCE, b"") in whole
        assert len(heard(far)) >= len(whole) - (480 if ms == 60 else 80)
        assert_one_frame_each_slot(far)
        assert media.counters.wrong_size == (1 if ms == 60 else 0)

    @pytest.mark.parametrize("ms", LENGTHS_MS)
    def test_it_is_translated(self, calls: RelayCalls, ms: int) -> None:
        phone = calls.phone()
        media = calls.call(phone)
        far = calls.connect(media, Format.ALAW)
        whole = audio(8 * 600)
        table = codecs.translation(Format.ULAW, Format.ALAW)
        assert table is not None
        send_stream(calls, phone, media, whole, ms)
        calls.run(0.2)
        got = b"".join(frame.payload for frame in far.frames).replace(ALAW_SILENCE, b"")
        assert got.strip(b"\xd5")[480:] in whole.translate(table)

    def test_a_stream_may_change_its_length(self, calls: RelayCalls) -> None:
        phone, media, far = calls.connected()
        send_stream(calls, phone, media, audio(8 * 200), 20)
        timestamp = 0xFFFF_F000 + 1600 & 0xFFFF_FFFF
        second = audio(8 * 240, seed=2)
        for number in range(8):
            part = second[number * 240 : (number + 1) * 240]
            at = timestamp + number * 240 & 0xFFFF_FFFF
            phone.send(media, 4 + number, part, timestamp=at)
            calls.run(0.03)
        calls.run(0.1)
        assert heard(far).endswith(second[:-80])

    def test_lost_packets_are_silence_and_late_ones_are_not_played(self, calls: RelayCalls) -> None:
        phone, media, far = calls.connected()
        parts = [audio(240, seed=number) for number in range(20)]
        late = parts[9]
        for number, part in enumerate(parts):
            if number != 9:
                phone.send(media, number, part, timestamp=number * 240)
            calls.run(0.03)
        phone.send(media, 9, late, timestamp=9 * 240)
        calls.run(0.1)
        assert late[:40] not in heard(far)
        assert parts[19][:160] in heard(far)
        assert media.buffer.late == 1
        assert_one_frame_each_slot(far)

    def test_silence_suppression_costs_no_frame_and_no_delay(self, calls: RelayCalls) -> None:
        phone, media, far = calls.connected()
        for burst in range(3):
            start = burst * 8000
            for number in range(10):
                timestamp = start + number * 320
                sequence = burst * 11 + number
                phone.send(media, sequence, audio(320, seed=number), timestamp=timestamp)
                calls.run(0.04)
            phone.send(media, burst * 11 + 10, b"\x40", 13, timestamp=start + 3200)
            calls.run(0.6)
        assert_one_frame_each_slot(far)
        assert media.last_rtp_at == pytest.approx(calls.now - 0.6, abs=0.1)
        assert media.counters.wrong_payload_type == 0
        assert media.buffer.overruns == 0
        assert heard(far).count(audio(320, seed=9)) == 3

    def test_bursts_do_not_pile_up(self, calls: RelayCalls) -> None:
        phone, media, far = calls.connected()
        for number in range(30):
            phone.send(media, number, audio(320, seed=number), timestamp=number * 320)
        calls.slot()
        phone.send(media, 30, audio(320, seed=30), timestamp=30 * 320)
        calls.run(0.16)
        assert audio(320, seed=30) in heard(far)
        assert media.buffer.overruns > 0

    def test_depth_that_jitter_has_left_is_given_back(self, calls: RelayCalls) -> None:
        phone, media, _ = calls.connected()
        for number in range(1600):
            held_back = (number - 1,) if number == 21 else ()
            for sent in () if number == 20 else (*held_back, number):
                phone.send(media, sent, audio(320), timestamp=sent * 320)
            calls.run(0.04)
        assert media.buffer.underruns > 1
        assert media.buffer.slips > 0
        assert media.buffer.late == media.buffer.overruns == 0

    def test_it_is_given_back_after_5_s_and_each_time_after_twice_as_long(self) -> None:
        buffer = RepackingBuffer(Format.ULAW)
        at = count(0, 160)
        waited = []
        for slips in range(1, 6):
            for _ in range(100):
                buffer.put_at(next(at), audio(160))
                buffer.pull()
            buffer.pull()  # misses its frame
            buffer.put_at(next(at), audio(160))
            pulls = 0
            while buffer.slips < slips:
                buffer.put_at(next(at), audio(160))
                buffer.pull()
                pulls += 1
            waited.append(pulls)
        assert waited == [250, 500, 1000, 1500, 1500]

    def test_what_is_left_of_a_packet_of_60_ms_is_no_depth(self) -> None:
        buffer = RepackingBuffer(Format.ULAW)
        for at in range(0, 4800, 480):
            buffer.put_at(at, audio(480))
            for _ in range(3):
                buffer.pull()
                buffer.shrink()
        assert buffer.slips == 0

    def test_packets_before_the_link_is_up_are_unused(self, calls: RelayCalls) -> None:
        phone = calls.phone()
        media = calls.call(phone)
        phone.send(media, 1, audio(240), timestamp=0)
        calls.relay.rtp_readable(calls.now)
        assert media.counters.unused == 1
        assert media.last_rtp_at == calls.now

    def test_a_new_negotiation_begins_with_plain_packets(self, calls: RelayCalls) -> None:
        phone, media, far = calls.connected()
        send_stream(calls, phone, media, audio(8 * 120), 30)
        media.set_remote(remote_of(phone))
        assert not isinstance(media.buffer, RepackingBuffer)
        phone.send(media, 500, speech(5))
        calls.slot()
        assert far.frames[-1].payload == speech(5)

    def test_a_phone_that_says_it_sends_nothing_is_not_heard(self, calls: RelayCalls) -> None:
        phone, media, far = calls.connected()
        send_stream(calls, phone, media, audio(8 * 120), 30)
        media.phone_sends = False
        before = len(far.frames)
        calls.run(0.2)
        phone.send(media, 500, audio(240), timestamp=99_999)
        calls.run(0.1)
        assert {frame.payload for frame in far.frames[before + 4 :]} == {ULAW_SILENCE}
        assert media.counters.unused == 1

    @given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.binary(max_size=500)), max_size=40))
    def test_any_packets_leave_whole_frames_and_a_bounded_buffer(
        self, packets: list[tuple[int, bytes]]
    ) -> None:
        buffer = RepackingBuffer(Format.G729)
        for timestamp, payload in packets:
            if buffer.fits(len(payload)):
                buffer.put_at(timestamp, payload)
            assert len(buffer._audio) <= buffer._octets_max
            frame = buffer.pull()
            assert frame is None or len(frame) == 20

    @pytest.mark.parametrize(
        ("format_", "octets", "fits"),
        [
            (Format.GSM, 33, True),
            (Format.GSM, 66, True),
            (Format.GSM, 65, False),
            (Format.G729, 10, True),
            (Format.G729, 12, False),
            (Format.G729, 2, False),
            (Format.ULAW, 0, False),
            (Format.ULAW, 480, True),
            (Format.ULAW, 1440, False),
        ],
    )
    def test_what_can_be_taken_apart(self, format_: Format, octets: int, *, fits: bool) -> None:
        assert RepackingBuffer(format_).fits(octets) is fits

    def test_codec_of_whole_frames(self) -> None:
        buffer = RepackingBuffer(Format.GSM)
        first, second = os.urandom(33), os.urandom(33)
        buffer.put_at(0, first + second)
        buffer.put_at(640, first)
        silence = codecs.silence(Format.GSM, 33)
        assert [buffer.pull() for _ in range(5)] == [first, second, silence, silence, first]


class TestTowardThePhone:
    def ask_for(self, calls: RelayCalls, ms: int, **changes: object) -> tuple[Phone, FarEnd]:
        phone, media, far = calls.connected()
        media.set_remote(replace(remote_of(phone), ptime_ms=ms, **changes))  # type: ignore[arg-type]
        return phone, far

    @pytest.mark.parametrize("ms", LENGTHS_MS)
    def test_a_phone_gets_the_length_that_it_asks_for(self, calls: RelayCalls, ms: int) -> None:
        phone, far = self.ask_for(calls, ms)
        whole = b"".join(speech(number) for number in range(30))
        for number in range(30):
            calls.from_link(far, 20 * number + 20, speech(number))
        packets = phone.received()
        assert {len(packet.payload) for packet in packets} == {ms * 8}
        assert b"".join(packet.payload for packet in packets) == whole[: len(packets) * ms * 8]
        assert len(packets) == 600 // ms
        for before, after in pairwise(packets):
            assert after.sequence - before.sequence & 0xFFFF == 1
            assert after.timestamp - before.timestamp & 0xFFFF_FFFF == ms * 8
        assert [packet.marker for packet in packets] == [True] + [False] * (len(packets) - 1)
        assert far.media.counters.sent == len(packets)
        assert far.media.counters.sent_octets == 4800

    def test_a_lost_frame_shows_as_a_lost_packet(self, calls: RelayCalls) -> None:
        phone, far = self.ask_for(calls, 40)
        for number in (0, 1, 2, 4, 5, 6, 7):
            calls.from_link(far, 20 * number + 20, speech(number))
        packets = phone.received()
        assert [len(packet.payload) for packet in packets] == [320, 160, 320, 320]
        sequences = [packet.sequence - packets[0].sequence & 0xFFFF for packet in packets]
        assert sequences == [0, 1, 3, 4]
        times = [packet.timestamp - packets[0].timestamp & 0xFFFF_FFFF for packet in packets]
        assert times == [0, 320, 640, 960]

    def test_a_late_frame_is_left_out(self, calls: RelayCalls) -> None:
        phone, far = self.ask_for(calls, 40)
        for number in (0, 1, 3, 2, 4):
            calls.from_link(far, 20 * number + 20, speech(number))
        assert speech(2) not in b"".join(packet.payload for packet in phone.received())
        assert far.media.counters.late == 1

    def test_digits_come_between(self, calls: RelayCalls) -> None:
        phone, far = self.ask_for(calls, 60)
        calls.from_link(far, 20, speech(1))
        far.media.send_digit("5", calls.now)
        calls.run(0.3)
        packets = phone.received()
        assert [len(packet.payload) for packet in packets] == [160] + [4] * 7
        for before, after in pairwise(packets):
            assert after.sequence - before.sequence & 0xFFFF == 1

    def test_numbers_go_on_through_negotiations(self, calls: RelayCalls) -> None:
        phone, far = self.ask_for(calls, 10)
        for number in range(10):
            calls.from_link(far, 20 * number + 20, speech(number))
        far.media.set_remote(remote_of(phone))
        for number in range(10, 20):
            calls.from_link(far, 20 * number + 20, speech(number))
        packets = phone.received()
        assert [len(packet.payload) for packet in packets] == [80] * 20 + [160] * 10
        for before, after in pairwise(packets):
            assert after.sequence - before.sequence & 0xFFFF == 1

    def test_under_srtp(self, calls: RelayCalls) -> None:
        keys = SrtpKeys(Suite.AES_GCM, os.urandom(28), os.urandom(28))
        phone, far = self.ask_for(calls, 10, srtp=keys)
        for number in range(10):
            calls.from_link(far, 20 * number + 20, speech(number))
        assert [len(datagram) for datagram in phone.received_datagrams()] == [12 + 80 + 16] * 20
        assert calls.failures == []

    @pytest.mark.parametrize(
        ("format_", "ptime_ms", "maxptime_ms", "expected"),
        [
            (Format.ULAW, None, None, 20),
            (Format.ULAW, 20, 150, 20),
            (Format.ULAW, 30, None, 30),
            (Format.ULAW, 35, None, 30),
            (Format.ULAW, 5, None, 10),
            (Format.ULAW, 200, None, 60),
            (Format.ULAW, 60, 40, 40),
            (Format.ULAW, None, 10, 10),
            (Format.GSM, 30, None, 20),
            (Format.GSM, 10, 10, 20),
            (Format.GSM, 40, None, 40),
            (Format.G729, 30, None, 30),
        ],
    )
    def test_length_chosen(
        self, format_: Format, ptime_ms: int | None, maxptime_ms: int | None, expected: int
    ) -> None:
        assert packet_ms(format_, ptime_ms, maxptime_ms) == expected

    def test_a_socket_that_blocks_is_counted_by_who_called(self) -> None:
        def refuse(_packet: bytes, _destination: object) -> int:
            raise BlockingIOError

        packer = Repacketizer(MediaCounters())
        packer.use(refuse, 0, Format.ULAW, 10)
        packet = RtpPacket(0, marker=False, sequence=1, timestamp=0, ssrc=1, payload=speech(1))
        with pytest.raises(BlockingIOError):
            packer.send(packet.encode(), WHERE)

    def test_packets_are_valid_rtp(self) -> None:
        sent: list[RtpPacket] = []

        def send(packet: bytes, _destination: object) -> int:
            sent.append(parse_rtp_untrusted(packet))
            return len(packet)

        packer = Repacketizer(MediaCounters())
        packer.use(send, 18, Format.G729, 30)
        for number in range(3):
            packet = RtpPacket(18, number == 0, number, number * 160, 7, bytes([number]) * 20)
            packer.send(packet.encode(), WHERE)
        assert [(packet.timestamp, len(packet.payload)) for packet in sent] == [(0, 30), (240, 30)]
        assert {packet.ssrc for packet in sent} == {7}
