"""One call leg as both roles share it: from ACCEPT on, and how it ends."""

from dataclasses import replace

import pytest

from bridge.iax2 import CallEnded, DigitReceived, EndReason, Format
from bridge.iax2.constants import FrameType, IaxSubclass
from bridge.iax2.frames import FullFrame, parse_frame_untrusted
from bridge.iax2.states import State
from tests.lab.iax2_pair import FAR, NEAR, Pair, call_profile
from tests.lab.iax2_peer import VOICE, Peer
from tests.lab.iax2_phases import caller_in, challenge, offer_token, place


def digits(peer: Peer) -> str:
    return "".join(event.digit for event in peer.told(DigitReceived))


@pytest.mark.parametrize("setup_timeout_s", [3.0, 8.0, 30.0])
def test_a_silent_peer_is_given_up_at_setup_timeout(setup_timeout_s: float) -> None:
    """Asked for again until then, each second, so that loss alone does not end a call."""
    peer, call = place(call_profile(setup_timeout_s=setup_timeout_s))
    peer.elapse(setup_timeout_s - 0.01)
    assert not peer.told(CallEnded)
    assert len(peer.got(IaxSubclass.NEW)) == setup_timeout_s + 1
    peer.elapse(0.01)
    assert peer.told(CallEnded) == [CallEnded(call, EndReason.NO_RESPONSE)]
    assert call.state is State.ENDED


class TestGivenUpEarly:
    """The caller hangs up before it knows the peer's call number, or even its token."""

    def test_a_later_challenge_gets_inval_and_ends_the_far_leg(self) -> None:
        pair = Pair()
        pair.swallow = lambda sent: sent.source == FAR and len(sent.data) > 40
        call = pair.place()
        call.hang_up(pair.now)
        pair.swallow = lambda _sent: False
        pair.elapse(1)
        assert pair.told(NEAR, CallEnded) == [CallEnded(call, EndReason.LOCAL)]
        assert [event.reason for event in pair.told(FAR, CallEnded)] == [EndReason.HANGUP]
        assert (pair.near.live_calls, pair.far.live_calls) == (0, 0)
        inval = parse_frame_untrusted(pair.sent_by(NEAR)[-1])
        assert isinstance(inval, FullFrame)
        assert inval.subclass == IaxSubclass.INVAL

    def test_a_later_token_gets_nothing(self) -> None:
        peer, call = place()
        call.hang_up(peer.now)
        offer_token(peer)
        assert [received.frame.subclass for received in peer.received] == [IaxSubclass.NEW]
        assert call.statistics.dropped_illegal == 1

    def test_two_ended_legs_do_not_send_each_other_inval_for_ever(self) -> None:
        peer, call = place()
        call.hang_up(peer.now)
        challenge(peer)
        assert len(peer.got(IaxSubclass.INVAL)) == 1
        inval = peer.frame(FrameType.IAX, IaxSubclass.INVAL)
        for _ in range(10):
            peer.put(inval, clear=True)
        assert len(peer.got(IaxSubclass.INVAL)) == 1
        assert call.state is State.ENDED


class TestOrder:
    def test_early_frames_are_acted_on_in_their_turn(self) -> None:
        peer, _ = caller_in(State.UP)
        frames = [peer.frame(FrameType.DTMF_END, ord(digit)) for digit in "123"]
        numbered = [
            replace(frame, oseqno=peer.oseqno + at, timestamp_ms=frame.timestamp_ms + at)
            for at, frame in enumerate(frames)
        ]
        for at in (2, 1, 0):
            peer.put(numbered[at])
        assert digits(peer) == "123"
        assert len(peer.got(IaxSubclass.VNAK)) == 1

    def test_a_malformed_frame_does_not_hold_up_those_behind_it(self) -> None:
        """Nor is a frame that was held then taken again 256 frames later."""
        peer, call = caller_in(State.UP)
        wrong = peer.frame(FrameType.VOICE, Format.ALAW, VOICE)
        early = replace(peer.frame(FrameType.DTMF_END, ord("7")), oseqno=peer.oseqno + 1)
        peer.put(early)
        peer.put(wrong)
        assert digits(peer) == "7"
        assert call.statistics.dropped_malformed == 1
        peer.oseqno += 2
        for _ in range(256):
            peer.send(FrameType.CNG, 0)
        assert digits(peer) == "7"
