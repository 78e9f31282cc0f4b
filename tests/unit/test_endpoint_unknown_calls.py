"""An endpoint and frames of calls that it does not know, and a peer that begins anew."""

from dataclasses import replace
from random import Random

import pytest

from bridge.iax2 import CallEnded, Endpoint, EndReason, Format, User
from bridge.iax2.constants import FrameType, IaxSubclass
from bridge.iax2.frames import FullFrame
from bridge.iax2.peers import INVALS_PER_S
from bridge.iax2.states import State
from tests.lab.iax2_pair import SECRET, USERNAME, call_profile
from tests.lab.iax2_peer import PEER, STRANGER, Peer
from tests.lab.iax2_phases import (
    accept,
    ask_token,
    callee_in,
    callee_of,
    caller_in,
    challenge,
    dropped,
    new_elements,
    new_frame,
    prove,
    send_new,
)
from tests.lab.iax2_wire import NEAR


class TestRestartedPeer:
    """A peer that knows nothing of its calls any more, and draws the number of one of them."""

    def test_its_new_call_replaces_the_old_one_with_its_proof(self) -> None:
        peer, old = callee_in(State.UP)
        again = Peer(peer.endpoint, now=peer.now + 2, started_at=peer.now + 2)
        send_new(again, new_elements(ask_token(again)))
        new = callee_of(again)
        assert (old.state, new.state) == (State.UP, State.AUTHREQ_SENT)
        prove(again)
        assert not again.told(CallEnded)
        new.accept(Format.ULAW, again.now)
        again.take()
        assert CallEnded(old, EndReason.RESTARTED) in again.told(CallEnded)
        again.send_mini()
        assert new.voice is not None
        assert new.voice.received == 1
        again.elapse(10.1)
        assert peer.endpoint._by_peer == {(PEER, 77): new}

    def test_without_proof_it_takes_nothing_from_the_old_one(self) -> None:
        peer, old = callee_in(State.UP)
        again = Peer(peer.endpoint, now=peer.now + 2)
        send_new(again, new_elements(ask_token(again)))
        prove(again, b"a guess")
        again.elapse(6)
        assert old.state is State.UP
        peer.now = again.now
        peer.send_mini()
        assert old.voice is not None
        assert old.voice.received == 1

    def test_its_new_is_sent_again_and_makes_no_third_call(self) -> None:
        peer, _ = callee_in(State.UP)
        again = Peer(peer.endpoint, now=peer.now + 2)
        datagram = new_frame(again, ask_token(again)).encode()
        for _ in range(5):
            again.inject(datagram)
        assert len(peer.endpoint._calls) == 2

    def test_a_number_of_a_call_that_is_over_may_be_used_at_once(self) -> None:
        peer, old = callee_in(State.ENDED)
        again = Peer(peer.endpoint, now=peer.now + 2, started_at=peer.now + 2)
        _, new = callee_in(State.UP, again)
        assert len(again.told(CallEnded)) == 0
        again.elapse(11)
        assert (old.state, new.state) == (State.ENDED, State.UP)
        assert peer.endpoint._by_peer == {(PEER, 77): new}

    def test_the_one_called_may_use_a_number_again_as_well(self) -> None:
        peer, old = caller_in(State.UP)
        new = peer.endpoint.place_call(call_profile(), PEER, peer.now)
        again = Peer(peer.endpoint, now=peer.now, started_at=peer.now)
        again.other_call_number = new.call_number
        again.take()
        challenge(again)
        assert (old.state, new.state) == (State.UP, State.AUTHREP_SENT)
        accept(again)
        assert (old.state, new.state) == (State.ENDED, State.LINKED)


class TestUnknownCalls:
    """A peer that speaks of a call that is not known here, as after our restart."""

    def stray(self, peer: Peer, subclass: int = IaxSubclass.PING) -> FullFrame:
        return replace(peer.frame(FrameType.IAX, subclass), destination_call_number=1234)

    def test_it_is_told_that_there_is_none(self) -> None:
        peer = Peer(Endpoint(entropy=Random(1).randbytes))
        datagram = peer.put(self.stray(peer))
        (inval,) = peer.received
        assert inval.frame == FullFrame(1234, 77, 0, 0, 0, FrameType.IAX, IaxSubclass.INVAL)
        assert len(inval.datagram) <= len(datagram)
        assert dropped(peer) == {"no such call": 1}

    def test_an_encrypted_frame_is_answered_as_well(self) -> None:
        peer = Peer(Endpoint(entropy=Random(1).randbytes))
        peer.inject(b"\x80\x4d\x04\xd2" + bytes(range(32)))
        assert peer.got(IaxSubclass.INVAL)

    def test_a_callee_that_has_restarted_ends_a_call_in_its_set_up(self) -> None:
        peer, call = caller_in(State.NEW_SENT)
        challenge(peer, encryption=None)
        started_anew = Endpoint([User(USERNAME, (SECRET,))], entropy=Random(9).randbytes)
        started_anew.receive_datagram(peer.received[-1].datagram, NEAR, peer.now)
        inval = started_anew.poll_transmit()
        assert inval is not None
        peer.inject(inval.data)
        assert call.state is State.ENDED

    @pytest.mark.parametrize("subclass", [IaxSubclass.INVAL, IaxSubclass.ACK])
    def test_an_inval_is_never_answered_with_one(self, subclass: int) -> None:
        peer = Peer(Endpoint(entropy=Random(1).randbytes))
        peer.put(self.stray(peer, subclass))
        assert not peer.received

    def test_neither_is_a_reply_without_a_call(self) -> None:
        peer = Peer(Endpoint(entropy=Random(1).randbytes))
        peer.put(replace(self.stray(peer, IaxSubclass.PONG), source_call_number=1))
        assert not peer.received

    def test_nor_what_has_no_call_number(self) -> None:
        peer = Peer(Endpoint(entropy=Random(1).randbytes))
        peer.inject(b"\x80\x00\x04\xd2" + bytes(8))
        assert not peer.received
        assert dropped(peer) == {"malformed": 1}

    def test_fifty_a_second_and_no_more(self) -> None:
        peer = Peer(Endpoint(entropy=Random(1).randbytes))
        for _ in range(500):
            peer.put(self.stray(peer))
        assert len(peer.got(IaxSubclass.INVAL)) == INVALS_PER_S == 50
        peer.now += 1
        for _ in range(500):
            peer.put(self.stray(peer))
        assert len(peer.got(IaxSubclass.INVAL)) == 100

    def test_a_call_of_another_address_is_not_disowned(self) -> None:
        peer, call = caller_in(State.UP)
        stray = replace(peer.frame(FrameType.IAX, IaxSubclass.PING), source_call_number=78)
        peer.endpoint.receive_datagram(stray.encode(), STRANGER, peer.now)
        assert peer.endpoint.poll_transmit() is None
        assert call.state is State.UP
