import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.media.relay import ROUNDS_MAX
from tests.lab.relay_calls import (
    SLOT_S,
    ULAW_SILENCE,
    RelayCalls,
    assert_one_frame_each_slot,
    packet_of,
    remote_of,
    speech,
    talk,
)


@pytest.fixture
def calls() -> Iterator[RelayCalls]:
    with RelayCalls() as calls:
        yield calls


class TestTowardThePhone:
    def test_frames_are_relayed_when_they_come(self, calls: RelayCalls) -> None:
        phone, media, far = calls.connected()
        for number in range(1, 6):
            calls.now += SLOT_S
            assert calls.from_link(far, 20 * number, speech(number))
        packets = phone.received()
        assert [packet.payload for packet in packets] == [speech(n) for n in range(1, 6)]
        assert [packet.marker for packet in packets] == [True, False, False, False, False]
        for before, after in pairwise(packets):
            assert after.sequence - before.sequence & 0xFFFF == 1
            assert after.timestamp - before.timestamp & 0xFFFFFFFF == 160
        assert media.counters.sent == 5
        assert media.counters.sent_octets == 800

    def test_full_voice_frames_have_their_place_among_minis(self, calls: RelayCalls) -> None:
        phone, media, far = calls.connected()
        calls.from_link(far, 20, speech(1))
        media.receive_voice(speech(2), 40, calls.now)
        calls.from_link(far, 60, speech(3))
        media.receive_voice(b"wrong size", 80, calls.now)
        assert [packet.payload for packet in phone.received()] == [speech(n) for n in (1, 2, 3)]

    def test_duplicate_is_sent_once(self, calls: RelayCalls) -> None:
        phone, media, far = calls.connected()
        calls.from_link(far, 20, speech(1))
        calls.from_link(far, 20, speech(1))
        assert len(phone.received()) == 1
        assert media.counters.late == 1

    def test_datagrams_that_are_no_minis_of_a_call_are_left_to_the_engine(
        self, calls: RelayCalls
    ) -> None:
        _, _, far = calls.connected()
        mini = far.seal(speech(1), 20)
        relay = calls.relay
        assert not relay.receive_link(mini, ("127.0.0.9", 4569), calls.now)
        assert not relay.receive_link(b"\x7f\x00" + mini[2:], far.address, calls.now)
        assert not relay.receive_link(b"\x80\x02" + mini[2:], far.address, calls.now)
        assert not relay.receive_link(b"", far.address, calls.now)

    def test_datagram_of_every_length_between_good_ones(self, calls: RelayCalls) -> None:
        phone, _, far = calls.connected()
        number = 0
        heard = []
        for octets in range(301):
            garbage = far.path.route[1] + random.Random(octets).randbytes(octets)
            calls.relay.receive_link(garbage[:octets], far.address, calls.now)
            calls.relay.receive_link(garbage[:octets], ("127.0.0.9", 4569), calls.now)
            number += 1
            calls.run(SLOT_S)
            assert calls.from_link(far, 20 * number, speech(number))
            heard += [packet.payload for packet in phone.received()]
        assert heard == [speech(n) for n in range(1, number + 1)]

    def test_held_phone_is_sent_nothing_and_hears_the_link_again(self, calls: RelayCalls) -> None:
        phone, media, far = calls.connected()
        calls.from_link(far, 20, speech(1))
        media.set_remote(remote_of(phone, receives=False))
        calls.from_link(far, 40, speech(2))
        media.set_remote(remote_of(phone))
        calls.from_link(far, 60, speech(3))
        assert [packet.payload for packet in phone.received()] == [speech(1), speech(3)]
        assert media.counters.unheard == 1

    def test_phone_behind_nat_hears_nothing_before_it_talks(self, calls: RelayCalls) -> None:
        phone, media, far = calls.connected()
        media.set_remote(replace(remote_of(phone), host="10.1.2.3"))
        calls.from_link(far, 20, speech(1))
        assert phone.received() == []
        phone.send(media, 1, speech(1))
        calls.slot()
        calls.from_link(far, 40, speech(2))
        assert [packet.payload for packet in phone.received()] == [speech(2)]

    def test_closed_call_has_no_route(self, calls: RelayCalls) -> None:
        _, media, far = calls.connected()
        media.close()
        assert not calls.from_link(far, 20, speech(1))


class TestWhatThePhoneSends:
    def test_stranger_is_dropped_and_counted(self, calls: RelayCalls) -> None:
        phone, media, far = calls.connected()
        talk(calls, phone, media, range(3))
        stranger = calls.phone()
        talk(calls, stranger, media, range(3, 6))
        assert media.counters.wrong_source == 3
        assert far.frames[-1].payload == ULAW_SILENCE

    def test_nothing_is_heard_before_a_negotiation(self, calls: RelayCalls) -> None:
        phone = calls.phone()
        media = calls.relay.open("127.0.0.1")
        phone.send(media, 1, speech(1))
        calls.relay.rtp_readable(calls.now)
        assert media.counters.wrong_source == 1
        assert media.last_rtp_at is None

    @pytest.mark.parametrize(
        "datagram",
        [b"", b"\x80", b"\x00" * 172, packet_of(14, b"x")],
        ids=["empty", "short", "no RTP", "payload type"],
    )
    def test_only_a_valid_packet_latches(self, calls: RelayCalls, datagram: bytes) -> None:
        phone, media, _ = calls.connected()
        other_port = calls.phone()
        other_port.send_datagram(media, datagram)
        calls.slot()
        phone.send(media, 1, speech(1))
        calls.slot()
        assert media.counters.wrong_source == 1
        assert media.latch.source == ("127.0.0.1", phone.port)

    @pytest.mark.parametrize(
        ("datagram", "counter"),
        [
            (b"", "malformed"),
            (b"\x80\x00\x00", "malformed"),
            (b"\x00" * 172, "malformed"),
            (packet_of(8, bytes(160)), "wrong_payload_type"),
            (packet_of(14, b"x"), "wrong_payload_type"),
            (packet_of(0, bytes(159)), "wrong_size"),
            (packet_of(0, bytes(1000)), "wrong_size"),
            (packet_of(0, bytes(9000)), "wrong_size"),
        ],
        ids=["empty", "short", "no RTP", "codec", "no codec", "159", "1000", "9000"],
    )
    def test_invalid_packets_are_dropped_by_reason(
        self, calls: RelayCalls, datagram: bytes, counter: str
    ) -> None:
        phone, media, far = calls.connected()
        talk(calls, phone, media, range(3))
        phone.send_datagram(media, datagram)
        calls.slot()
        assert getattr(media.counters, counter) == 1
        assert far.frames[-1].payload == ULAW_SILENCE
        talk(calls, phone, media, range(3, 6))
        assert far.frames[-1].payload == speech(5)

    def test_padding_and_extension_are_understood(self, calls: RelayCalls) -> None:
        phone, media, far = calls.connected()
        plain = packet_of(0, speech(1))
        extension = bytes.fromhex("BEDE 0001 10FF0000")
        phone.send_datagram(media, b"\xb0" + plain[1:12] + extension + plain[12:] + b"\0\0\0\4")
        calls.slot()
        assert far.frames[-1].payload == speech(1)

    def test_restarted_stream_plays_at_once(self, calls: RelayCalls) -> None:
        phone, media, far = calls.connected()
        talk(calls, phone, media, range(1000, 1010))
        phone.ssrc ^= 1
        talk(calls, phone, media, range(990, 1000))
        assert [frame.payload for frame in far.frames[-10:]] == [
            speech(n) for n in range(990, 1000)
        ]

    def test_last_packet_is_remembered(self, calls: RelayCalls) -> None:
        phone, media, _ = calls.connected()
        talk(calls, phone, media, range(3))
        read_at = media.last_rtp_at
        calls.run(1.0)
        assert read_at is not None
        assert media.last_rtp_at == read_at
        assert calls.now - read_at == pytest.approx(1.0, abs=SLOT_S)

    def test_flooded_socket_takes_nothing_from_others(self, calls: RelayCalls) -> None:
        flooded_phone, flooded, flooded_far = calls.connected()
        phone, media, far = calls.connected()
        flood = calls.phone()
        for number in range(5):
            flooded_phone.send(flooded, number, speech(number))
            phone.send(media, number, speech(number))
            for _ in range(2 * ROUNDS_MAX):
                flood.send(flooded, number, speech(99))
            calls.slot()
            assert far.frames[-1].payload == speech(number)
            assert flooded.counters.wrong_source <= ROUNDS_MAX * (number + 1)
        assert len(flooded_far.frames) == len(far.frames)

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    @given(st.lists(st.binary(max_size=200), max_size=10))
    def test_garbage_ends_nothing(self, calls: RelayCalls, datagrams: list[bytes]) -> None:
        phone = calls.phone()
        media = calls.call(phone)
        far = calls.connect(media)
        phone.send(media, 1, speech(1))
        calls.slot()
        for datagram in datagrams:
            phone.send_datagram(media, datagram)
            phone.send_datagram(media, b"\x80\x65" + datagram)
            calls.slot()
        assert_one_frame_each_slot(far)
        assert calls.failures == []
        media.close()
        phone.socket.close()
        calls.phones.remove(phone)
