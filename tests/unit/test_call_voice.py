"""The voice of a call and the keys that a peer rotates, from frame to event."""

from random import Random

import pytest

from bridge.iax2 import Address, Call, DigitReceived, Format, LocalProtocolError, VoiceReceived
from bridge.iax2.constants import ElementType, FrameType, IaxSubclass
from bridge.iax2.elements import ElementValue
from bridge.iax2.states import State
from tests.lab.iax2_pair import Pair, call_profile
from tests.lab.iax2_peer import PEER, STRANGER, VOICE, Peer
from tests.lab.iax2_phases import accept, caller_in
from tests.lab.iax2_wire import FAR, NEAR, START

NEW_KEY = bytes(range(100, 116))
NEWER_KEY = bytes(range(120, 136))


def digits(peer: Peer) -> str:
    return "".join(event.digit for event in peer.told(DigitReceived))


def send_digits(peer: Peer, text: str) -> None:
    for digit in text:
        peer.send(FrameType.DTMF_END, ord(digit))


class TestVoice:
    def test_the_first_is_full_and_the_rest_mini(self) -> None:
        pair = Pair()
        call, far_call = pair.answered()
        start = len(pair.wire)
        speak(pair, call, 100)
        sizes = [len(sent.data) for sent in pair.wire[start:] if sent.source == NEAR]
        assert sizes == [196] + [194] * 99
        heard = pair.told(FAR, VoiceReceived)
        assert [event.payload for event in heard] == [VOICE] * 100
        assert [event.timestamp_ms for event in heard] == [frame * 20 for frame in range(100)]
        assert call.statistics.retransmitted == 0
        assert call.statistics.dropped_implausible == 0
        assert far_call.voice is not None
        assert far_call.voice.received == 100

    @pytest.mark.parametrize("first_timestamp_ms", [0, 2**32 - 10_000])
    def test_a_full_frame_each_32768_ms_and_across_every_wrap(
        self, first_timestamp_ms: int
    ) -> None:
        pair = Pair()
        call, _ = pair.answered(call_profile(first_timestamp_ms=first_timestamp_ms))
        start = len(pair.wire)
        speak(pair, call, 5000, first_timestamp_ms)
        assert len(pair.told(FAR, VoiceReceived)) == 5000
        full = [sent for sent in pair.wire[start:] if len(sent.data) == 196]
        assert len(full) == 4

    def test_both_directions_share_nothing(self) -> None:
        pair = Pair()
        call, far_call = pair.answered()
        speak(pair, call, 10)
        speak(pair, far_call, 10)
        assert len(pair.told(FAR, VoiceReceived)) == len(pair.told(NEAR, VoiceReceived)) == 10

    def test_a_first_frame_that_was_lost_twice_silences_nothing(self) -> None:
        """It arrives 1.5 s late and must not take the time of those behind it with it."""
        pair = Pair()
        call, far_call = pair.answered()
        lost = iter((True, True))
        pair.swallow = lambda sent: len(sent.data) == 196 and next(lost, False)
        speak(pair, call, 200)
        assert far_call.voice is not None
        assert len(pair.told(FAR, VoiceReceived)) == 200
        assert far_call.voice.dropped_implausible == 0

    def test_a_frame_of_another_size_or_format_is_malformed(self) -> None:
        peer, call = caller_in(State.UP)
        peer.send(FrameType.VOICE, Format.ALAW, VOICE)
        peer.send(FrameType.VOICE, Format.ULAW, VOICE[:80])
        assert call.statistics.dropped_malformed == 2
        assert not peer.told(VoiceReceived)

    def test_voice_of_a_wrong_size_is_not_sent(self) -> None:
        _, call = caller_in(State.UP)
        with pytest.raises(LocalProtocolError):
            call.send_voice(VOICE[:80], 0, START)

    def test_no_voice_before_it_is_accepted_nor_after_it_is_over(self) -> None:
        peer, call = caller_in(State.AUTHREP_SENT)
        peer.send_mini(0)
        assert not peer.told(VoiceReceived)
        accept(peer)
        call.hang_up(peer.now)
        peer.send_mini(0)
        assert not peer.told(VoiceReceived)
        with pytest.raises(LocalProtocolError):
            call.send_voice(VOICE, 0, peer.now)

    @pytest.mark.parametrize("address", [PEER, STRANGER], ids=["peer", "stranger"])
    @pytest.mark.parametrize("first", [0x80, 0x00], ids=["full", "mini"])
    def test_a_datagram_of_every_length_between_good_frames(
        self, address: Address, first: int
    ) -> None:
        peer, call = caller_in(State.UP)
        noise = Random(7)
        header = bytes((first, peer.call_number)) + peer.other_call_number.to_bytes(2, "big")
        peer.elapse(1)
        for octets in range(301):
            peer.inject((header + noise.randbytes(300))[:octets], address)
            peer.send_mini()
            peer.elapse(0.02)
        assert call.state is State.UP
        assert len(peer.told(VoiceReceived)) == 301
        assert {event.payload for event in peer.told(VoiceReceived)} == {VOICE}


def speak(pair: Pair, call: Call, frames: int, first_timestamp_ms: int = 0) -> None:
    for frame in range(frames):
        call.send_voice(VOICE, (first_timestamp_ms + frame * 20) % 2**32, pair.now)
        pair.elapse(0.02)


class TestKeyRotation:
    def test_the_peer_rotates(self) -> None:
        peer, call = caller_in(State.UP)
        for key in (NEW_KEY, NEWER_KEY):
            send_digits(peer, "1")
            peer.send_iax(IaxSubclass.RTKEY, (ElementType.CHALLENGE, key))
            peer.key = key
            send_digits(peer, "2")
        assert digits(peer) == "1212"
        assert call.statistics.dropped_implausible == 0

    def test_our_own_direction_keeps_its_key(self) -> None:
        peer, call = caller_in(State.UP)
        first = peer.keys[0]
        peer.send_iax(IaxSubclass.RTKEY, (ElementType.CHALLENGE, NEW_KEY))
        peer.key = NEW_KEY
        call.send_digit("5", peer.now)
        peer.take()
        assert {each.key for each in peer.received[1:]} == {first}

    def test_late_frames_under_the_old_key_are_read(self) -> None:
        peer, _ = caller_in(State.UP)
        old = peer.keys[0]
        peer.send_iax(IaxSubclass.RTKEY, (ElementType.CHALLENGE, NEW_KEY))
        late = peer.frame(FrameType.DTMF_END, ord("1"))
        peer.oseqno += 1
        peer.key = NEW_KEY
        send_digits(peer, "2")
        peer.put(late, key=old)
        send_digits(peer, "3")
        assert digits(peer) == "123"

    def test_voice_under_the_new_key_waits_for_a_full_frame_that_proves_it(self) -> None:
        peer, call = caller_in(State.UP)
        old = peer.keys[0]
        peer.send_iax(IaxSubclass.RTKEY, (ElementType.CHALLENGE, NEW_KEY))
        assert len(peer.got(IaxSubclass.PING)) == 1
        for _ in range(3):
            peer.send_mini(key=NEW_KEY)
        assert not peer.told(VoiceReceived)
        peer.send_mini(key=old)
        assert len(peer.told(VoiceReceived)) == 1
        peer.key = NEW_KEY
        peer.send_iax(IaxSubclass.PING)
        peer.send_mini(key=NEW_KEY)
        assert len(peer.told(VoiceReceived)) == 2
        peer.send_mini(key=old)
        assert len(peer.told(VoiceReceived)) == 2
        assert call.voice is not None
        assert call.voice.dropped_implausible == 4

    @pytest.mark.parametrize("elements", [(), ((ElementType.CHALLENGE, bytes(15)),)])
    def test_what_is_no_key_is_malformed(
        self, elements: tuple[tuple[int, ElementValue], ...]
    ) -> None:
        peer, call = caller_in(State.UP)
        peer.send_iax(IaxSubclass.RTKEY, *elements)
        assert call.statistics.dropped_malformed == 1
        assert not peer.got(IaxSubclass.PING)
        send_digits(peer, "5")
        assert digits(peer) == "5"
