"""One call leg as both roles share it: from ACCEPT on, and how it ends."""

from dataclasses import replace

import pytest

from bridge.iax2 import CallEnded, DigitReceived, EndReason, Format
from bridge.iax2.constants import FrameType, IaxSubclass
from bridge.iax2.states import State
from tests.lab.iax2_pair import call_profile
from tests.lab.iax2_peer import VOICE, Peer
from tests.lab.iax2_phases import caller_in, place


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
