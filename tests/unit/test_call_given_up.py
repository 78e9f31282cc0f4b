"""A call that is given up before its challenge has come, or while it does."""

import pytest

from bridge.iax2 import CallEnded, EndReason, IncomingCall
from bridge.iax2.constants import Encryption, FrameType, IaxSubclass
from bridge.iax2.states import State
from bridge.iax2.timers import RETRANSMISSIONS_MAX
from tests.lab.iax2_pair import Pair, call_profile
from tests.lab.iax2_phases import CHALLENGE, accept, challenge, offer_token, place
from tests.lab.iax2_wire import FAR, NEAR


class TestGivenUpEarly:
    """The caller hangs up before it knows the peer's call number, or even its token."""

    def test_a_later_challenge_gets_an_encrypted_hangup_and_ends_the_far_leg(self) -> None:
        pair = Pair()
        pair.swallow = lambda sent: sent.source == FAR and len(sent.data) > 40
        call = pair.place()
        call.hang_up(pair.now)
        pair.swallow = lambda _sent: False
        pair.elapse(1)
        assert pair.told(NEAR, CallEnded) == [CallEnded(call, EndReason.LOCAL)]
        assert [event.reason for event in pair.told(FAR, CallEnded)] == [EndReason.HANGUP]
        assert (pair.near.live_calls, pair.far.live_calls) == (0, 0)
        assert not pair.told(FAR, IncomingCall)
        assert call.state is State.ENDED

    def test_it_is_heard_at_last_where_it_was_lost(self) -> None:
        peer, call = place()
        call.hang_up(peer.now)
        peer.acknowledges = False
        challenge(peer)
        assert (call.state, peer.endpoint.live_calls) == (State.HANGUP_SENT, 1)
        peer.elapse(60)
        hangups = peer.got(IaxSubclass.HANGUP)
        assert len(hangups) == 1 + RETRANSMISSIONS_MAX
        assert all(each.key for each in hangups)
        assert not peer.got(IaxSubclass.AUTHREP)
        assert peer.endpoint.live_calls == 0
        assert peer.told(CallEnded) == [CallEnded(call, EndReason.LOCAL)]

    @pytest.mark.parametrize(
        ("text", "encryption"), [(CHALLENGE, None), (b"", Encryption.AES128), (b"x" * 65, 1)]
    )
    def test_a_challenge_that_is_refused_gets_a_hangup_in_clear(
        self, text: bytes, encryption: int | None
    ) -> None:
        peer, call = place()
        call.hang_up(peer.now)
        challenge(peer, challenge_text=text, encryption=encryption)
        (hangup,) = peer.got(IaxSubclass.HANGUP)
        assert hangup.key is None
        assert call.state is State.HANGUP_SENT
        assert len(peer.told(CallEnded)) == 1

    def test_a_challenge_seen_before_makes_no_key(self) -> None:
        profile = call_profile()
        profile.challenges.is_new(CHALLENGE)
        peer, call = place(profile)
        call.hang_up(peer.now)
        challenge(peer)
        assert [each.key for each in peer.got(IaxSubclass.HANGUP)] == [None]
        assert not call.is_encrypted

    def test_what_else_comes_gets_inval(self) -> None:
        peer, call = place()
        call.hang_up(peer.now)
        accept(peer)
        assert len(peer.got(IaxSubclass.INVAL)) == 1
        assert call.state is State.GIVEN_UP
        peer.elapse(10)
        assert not peer.endpoint._calls

    def test_a_later_token_gets_nothing(self) -> None:
        peer, call = place()
        call.hang_up(peer.now)
        offer_token(peer)
        assert [received.frame.subclass for received in peer.received] == [IaxSubclass.NEW]
        assert call.statistics.dropped_illegal == 1

    def test_two_ended_legs_do_not_send_each_other_inval_for_ever(self) -> None:
        peer, call = place()
        call.hang_up(peer.now)
        accept(peer)
        assert len(peer.got(IaxSubclass.INVAL)) == 1
        inval = peer.frame(FrameType.IAX, IaxSubclass.INVAL)
        for _ in range(10):
            peer.put(inval, clear=True)
        assert len(peer.got(IaxSubclass.INVAL)) == 1
        assert call.state is State.GIVEN_UP
