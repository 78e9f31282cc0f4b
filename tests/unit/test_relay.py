import random
from collections.abc import Iterator
from itertools import pairwise

import pytest

from bridge.iax2.constants import Format
from bridge.media import codecs
from bridge.media.pacing import CATCH_UP_SLOTS
from tests.lab.relay_calls import (
    ALAW_SILENCE,
    PEER,
    SLOT_S,
    ULAW_SILENCE,
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


class TestTowardTheLink:
    def test_first_frame_leaves_at_the_answer_and_the_next_within_a_slot(
        self, calls: RelayCalls
    ) -> None:
        _, _, far = calls.connected()
        assert [frame.full for frame in far.frames] == [True]
        answered_at = calls.now
        calls.slot()
        assert len(far.frames) == 2
        assert 0 < far.frames[1].sent_at - answered_at <= SLOT_S

    def test_silent_phone_sends_one_frame_of_silence_each_slot(self, calls: RelayCalls) -> None:
        _, _, far = calls.connected()
        calls.run(5.0)
        assert len(far.frames) == 251
        assert {frame.payload for frame in far.frames} == {ULAW_SILENCE}
        assert_one_frame_each_slot(far)

    def test_speech_passes_in_order(self, calls: RelayCalls) -> None:
        phone, media, far = calls.connected()
        talk(calls, phone, media, range(1, 51))
        assert [frame.payload for frame in far.frames[1:]] == [speech(n) for n in range(1, 51)]
        assert_one_frame_each_slot(far)

    def test_what_the_phone_does_never_shows_in_when_frames_leave(self, calls: RelayCalls) -> None:
        chance = random.Random(5)
        talker, media, far = calls.connected()
        _, _, silent = calls.connected()
        for number in range(500):
            for _ in range(chance.choice([0, 1, 1, 1, 2, 5])):
                talker.send(media, (number + chance.randrange(-3, 4)) & 0xFFFF, speech(number))
            calls.slot()
        assert_one_frame_each_slot(far)
        assert [frame.timestamp_ms for frame in far.frames] == [
            frame.timestamp_ms for frame in silent.frames
        ]

    def test_packet_never_triggers_a_send(self, calls: RelayCalls) -> None:
        phone, media, far = calls.connected()
        calls.slot()
        sent = len(far.frames)
        for number in range(10):
            phone.send(media, number, speech(number))
            calls.relay.rtp_readable(calls.now)
            calls.relay.tick(calls.now)
        assert len(far.frames) == sent

    def test_hold_mute_and_death_of_the_phone_are_silence(self, calls: RelayCalls) -> None:
        phone, media, far = calls.connected()
        talk(calls, phone, media, range(10))
        media.set_remote(remote_of(phone, sends=False, receives=False))
        talk(calls, phone, media, range(10, 20))
        assert {frame.payload for frame in far.frames[-10:]} == {ULAW_SILENCE}
        assert media.counters.unused == 10
        media.set_remote(remote_of(phone))
        talk(calls, phone, media, range(20, 30))
        assert far.frames[-1].payload == speech(29)
        phone.socket.close()
        calls.run(1.0)
        assert {frame.payload for frame in far.frames[-40:]} == {ULAW_SILENCE}
        assert_one_frame_each_slot(far)

    def test_audio_from_before_the_answer_is_not_relayed(self, calls: RelayCalls) -> None:
        phone = calls.phone()
        media = calls.call(phone)
        for number in range(5):
            phone.send(media, number, speech(number))
            calls.relay.rtp_readable(calls.now)
        far = calls.connect(media)
        calls.slot()
        assert far.frames[-1].payload == ULAW_SILENCE
        assert media.counters.unused == 5

    def test_slot_is_close_behind_a_phone_that_talks_already(self, calls: RelayCalls) -> None:
        for offset_s in (0.0, 0.0043, 0.0091, 0.0177):
            phone = calls.phone()
            media = calls.call(phone)
            calls.now += offset_s
            phone.send(media, 1, speech(1))
            calls.relay.rtp_readable(calls.now)
            arrived_at = calls.now
            far = calls.connect(media)
            calls.slot()
            assert 0.0039 <= far.frames[1].sent_at - arrived_at <= 0.0141

    def test_phase_stays_the_same_where_nothing_else_is_asked_for(self, calls: RelayCalls) -> None:
        phone, media, _ = calls.connected()
        phase = media.phase
        calls.now += 0.0133
        phone.send(media, 1, speech(1))
        calls.run(1.0)
        assert media.phase == phase

    def test_late_wake_ups_do_not_move_the_grid(self, calls: RelayCalls) -> None:
        chance = random.Random(3)
        _, _, far = calls.connected()
        for _ in range(200):
            tick = calls.relay.next_tick()
            assert tick is not None
            calls.now = tick + chance.uniform(0, 0.035)
            calls.relay.tick(calls.now)
        stamps = [frame.timestamp_ms for frame in far.frames]
        assert {after - before for before, after in pairwise(stamps)} == {20}
        elapsed_ms = (calls.now - far.frames[0].sent_at) * 1000
        assert stamps[-1] - stamps[0] == pytest.approx(elapsed_ms, abs=20)

    def test_short_stall_is_made_up_for_and_loses_nothing(self, calls: RelayCalls) -> None:
        phone, media, far = calls.connected()
        talk(calls, phone, media, range(10))
        for number in range(10, 10 + CATCH_UP_SLOTS):
            phone.send(media, number, speech(number))
        calls.now += CATCH_UP_SLOTS * SLOT_S
        calls.relay.tick(calls.now)
        assert [frame.payload for frame in far.frames[-5:]] == [speech(n) for n in range(10, 15)]
        assert far.frames[-1].timestamp_ms == (len(far.frames) - 1) * 20

    def test_long_stall_skips_and_stays_on_the_grid(self, calls: RelayCalls) -> None:
        _, _, far = calls.connected()
        calls.run(0.1)
        sent, newest_ms = len(far.frames), far.frames[-1].timestamp_ms
        calls.now += 2.0
        calls.relay.tick(calls.now)
        assert len(far.frames) - sent == CATCH_UP_SLOTS
        assert far.frames[-1].timestamp_ms - newest_ms == 2000

    def test_call_that_is_answered_during_a_stall_owes_nothing(self, calls: RelayCalls) -> None:
        calls.connected()
        calls.run(0.1)
        calls.now += 0.1
        _, _, far = calls.connected()
        calls.relay.tick(calls.now)
        assert len(far.frames) == 1
        calls.run(0.1)
        assert [frame.timestamp_ms for frame in far.frames] == [20 * n for n in range(6)]

    def test_full_frame_where_the_path_asks_for_one(self, calls: RelayCalls) -> None:
        _, _, far = calls.connected()
        calls.run(70.0)
        assert [frame.timestamp_ms for frame in far.frames if frame.full] == [0, 32_780, 65_540]
        assert_one_frame_each_slot(far)

    def test_timestamps_are_those_of_the_call(self, calls: RelayCalls) -> None:
        phone = calls.phone()
        media = calls.call(phone)
        far = calls.connect(media)
        media.close()
        calls.now += 4.567  # the set-up takes time: voice begins in the middle of the call
        media = calls.call(phone)
        path = far.path
        stamps: list[int] = []

        def send_full(_payload: bytes, timestamp_ms: int) -> None:
            stamps.append(timestamp_ms)
            path.start_period(timestamp_ms)

        far.frames.clear()
        media.connect(path, send_full, calls.now)
        calls.run(0.04)
        assert stamps == [4560]
        assert [frame.timestamp_ms for frame in far.frames] == [4580, 4600]

    def test_calls_of_a_phase_and_peer_leave_in_one_send(self, calls: RelayCalls) -> None:
        other = ("127.0.0.3", 4569)
        for peer in (PEER, other, PEER, PEER):
            calls.connect(calls.call(calls.phone()), peer=peer)
        calls.slot()
        assert [(count, peer) for _, count, peer in calls.sends] == [(3, PEER), (1, other)]

    def test_nothing_leaves_after_close(self, calls: RelayCalls) -> None:
        _, media, far = calls.connected()
        _, _, other = calls.connected()
        calls.run(0.1)
        media.close()
        media.close()
        calls.run(0.1)
        assert len(far.frames) == 6
        assert len(other.frames) == 11

    @pytest.mark.parametrize(
        ("phone_format", "link_format"),
        [(Format.ULAW, Format.ALAW), (Format.ALAW, Format.ULAW), (Format.ALAW, Format.ALAW)],
    )
    def test_codecs_are_translated_both_ways(
        self, calls: RelayCalls, phone_format: Format, link_format: Format
    ) -> None:
        phone = calls.phone()
        media = calls.call(phone, phone_format)
        far = calls.connect(media, link_format)
        payload_type = remote_of(phone, phone_format).payload_type
        payload = bytes(range(160))
        phone.send(media, 1, payload, payload_type)
        calls.slot()
        table = codecs.translation(phone_format, link_format) or bytes(range(256))
        assert far.frames[-1].payload == payload.translate(table)
        calls.slot()
        assert far.frames[-1].payload == (
            ULAW_SILENCE if link_format == Format.ULAW else ALAW_SILENCE
        )
        calls.from_link(far, 20, payload)
        (packet,) = phone.received()
        table = codecs.translation(link_format, phone_format) or bytes(range(256))
        assert packet.payload == payload.translate(table)
        assert packet.payload_type == payload_type


def test_ipv6(calls: RelayCalls) -> None:
    phone = calls.phone("::1")
    media = calls.call(phone)
    far = calls.connect(media, peer=("::1", 4569, 0, 0))
    talk(calls, phone, media, range(1, 4))
    calls.from_link(far, 20, speech(1))
    assert far.frames[-1].payload == speech(3)
    assert [packet.payload for packet in phone.received()] == [speech(1)]


class TestAnotherPhone:
    def test_takes_the_place_of_the_first_within_the_same_slots(self, calls: RelayCalls) -> None:
        first, media, far = calls.connected()
        talk(calls, first, media, range(10))
        second, ports = calls.phone(), calls.relay._ports.open("127.0.0.1")
        second.socket.sendto(b"what nobody is to hear", ("127.0.0.1", ports.rtp_port))
        first_port = media.rtp_port
        calls.relay.move(media, ports)
        media.set_remote(remote_of(second))
        assert media.rtp_port == ports.rtp_port != first_port
        talk(calls, second, media, range(100, 110))
        assert far.frames[-1].payload == speech(109)
        assert media.counters.malformed == media.counters.wrong_source == 0
        calls.run(0.1)
        assert_one_frame_each_slot(far)
        assert {frame.payload for frame in far.frames[-3:]} == {ULAW_SILENCE}

    def test_the_link_is_heard_by_the_new_phone_alone(self, calls: RelayCalls) -> None:
        first, media, far = calls.connected()
        second = calls.phone()
        calls.relay.move(media, calls.relay._ports.open("127.0.0.1"))
        calls.relay.receive_link(far.seal(speech(1), 20), PEER, calls.now)
        assert media.counters.unheard == 1
        media.set_remote(remote_of(second))
        calls.relay.receive_link(far.seal(speech(2), 40), PEER, calls.now)
        assert [packet.payload for packet in second.received()] == [speech(2)]
        assert not first.received()

    def test_before_the_answer_and_with_nothing_left_at_the_end(self, calls: RelayCalls) -> None:
        media = calls.call(calls.phone())
        calls.relay.move(media, calls.relay._ports.open("127.0.0.1"))
        assert calls.relay.calls_open == 1
        media.close()
        assert calls.relay.calls_open == 0
