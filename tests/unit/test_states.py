"""Every (state, input) pair, by the table, by command and over the wire, in both roles."""

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from random import Random
from typing import Any

import pytest

from bridge.iax2 import (
    CalleeCall,
    CallEnded,
    ControlSubclass,
    Endpoint,
    Format,
    LocalProtocolError,
    User,
)
from bridge.iax2.call import Call
from bridge.iax2.callee import Treatment
from bridge.iax2.caller import CallerCall
from bridge.iax2.constants import AuthMethod, ElementType, Encryption, FrameType, IaxSubclass
from bridge.iax2.elements import ElementValue, InformationElements
from bridge.iax2.frames import FullFrame
from bridge.iax2.states import HANDSHAKE, TRANSITIONS, Input, State
from tests.lab.call_states import CALLEE, CALLER
from tests.lab.iax2_pair import SECRET, USERNAME, call_profile
from tests.lab.iax2_peer import PEER, PEER_CALL_NUMBER, VOICE, Peer
from tests.lab.iax2_phases import callee_in, caller_in, new_elements, prove
from tests.lab.iax2_wire import START

EARLY = (State.NEW_SENT, State.GIVEN_UP)
LEGS = [("caller", state) for state in CALLER] + [("callee", state) for state in CALLEE]

NEW = FullFrame(PEER_CALL_NUMBER, 0, 0, 0, 0, FrameType.IAX, IaxSubclass.NEW)
Elements = tuple[tuple[int, ElementValue], ...]

WIRE: dict[Input, list[tuple[int, int, Elements]]] = {
    Input.RECEIVE_NEW: [(FrameType.IAX, IaxSubclass.NEW, tuple(new_elements(b"token")))],
    Input.RECEIVE_CALLTOKEN: [
        (FrameType.IAX, IaxSubclass.CALLTOKEN, ((ElementType.CALLTOKEN, b"token"),))
    ],
    Input.RECEIVE_AUTHREQ: [
        (
            FrameType.IAX,
            IaxSubclass.AUTHREQ,
            (
                (ElementType.AUTHMETHODS, (2, 2)),
                (ElementType.CHALLENGE, "123"),
                (ElementType.ENCRYPTION, (Encryption.AES128, 2)),
            ),
        )
    ],
    Input.RECEIVE_AUTHREP: [
        (FrameType.IAX, IaxSubclass.AUTHREP, ((ElementType.MD5_RESULT, "0" * 32),))
    ],
    Input.RECEIVE_ACCEPT: [
        (FrameType.IAX, IaxSubclass.ACCEPT, ((ElementType.FORMAT, (Format.ULAW, 4)),))
    ],
    Input.RECEIVE_ANSWER: [(FrameType.CONTROL, ControlSubclass.ANSWER, ())],
    Input.RECEIVE_REJECT: [(FrameType.IAX, IaxSubclass.REJECT, ())],
    Input.RECEIVE_HANGUP: [
        (FrameType.IAX, IaxSubclass.HANGUP, ()),
        (FrameType.IAX, IaxSubclass.INVAL, ()),
    ],
    Input.RECEIVE_SIGNAL: [
        (FrameType.CONTROL, ControlSubclass.RINGING, ()),
        (FrameType.DTMF_END, ord("5"), ()),
        (FrameType.DTMF_BEGIN, ord("5"), ()),
        (FrameType.CNG, 0, ()),
        (FrameType.TEXT, 0, ()),
    ],
    Input.RECEIVE_RTKEY: [
        (FrameType.IAX, IaxSubclass.RTKEY, ((ElementType.CHALLENGE, bytes(16)),))
    ],
    Input.RECEIVE_QUERY: [
        (FrameType.IAX, IaxSubclass.PING, ()),
        (FrameType.IAX, IaxSubclass.LAGRQ, ()),
        (FrameType.IAX, IaxSubclass.TXREQ, ()),
        (FrameType.IAX, IaxSubclass.QUELCH, ()),
        (FrameType.IAX, IaxSubclass.PROVISION, ()),
    ],
}
"""What a peer sends for each input that comes over the wire."""

COMMANDS: dict[Input, list[Callable[[Any], None]]] = {
    Input.PLACE: [lambda call: call.place(START)],
    Input.RECEIVE_NEW: [lambda call: call.challenge(NEW, new_elements(), START)],
    Input.ACCEPT: [lambda call: call.accept(Format.ULAW, START)],
    Input.ANSWER: [lambda call: call.answer(START)],
    Input.REJECT: [lambda call: call.reject(START)],
    Input.SEND_SIGNAL: [
        lambda call: call.send_digit("5", START),
        lambda call: call.send_cng(START),
        lambda call: call.send_control(ControlSubclass.HOLD, START),
        lambda call: call.send_voice(VOICE, 20, START),
    ],
}
"""What the endpoint and the application ask for."""
COMMANDS_OF = {
    "caller": (Input.PLACE, Input.SEND_SIGNAL),
    "callee": (Input.RECEIVE_NEW, Input.ACCEPT, Input.ANSWER, Input.REJECT, Input.SEND_SIGNAL),
}


def leg(role: str, state: State) -> tuple[Peer, Call]:
    if state is State.INITIAL:
        return _initial(role)
    return caller_in(state) if role == "caller" else callee_in(state)


def _initial(role: str) -> tuple[Peer, Call]:
    """Return a leg as it is before the first frame, which no datagram can reach."""
    endpoint = Endpoint(entropy=Random(1).randbytes)
    peer = Peer(endpoint, other_call_number=5)
    if role == "caller":
        return peer, CallerCall(endpoint, 5, PEER, call_profile())
    treatment = Treatment(AuthMethod.MD5, secrets_tried=1)
    return peer, CalleeCall(endpoint, 5, PEER, User(USERNAME, (SECRET,)), treatment)


@pytest.mark.parametrize(("state", "event"), list(product(State, Input)))
def test_the_table_alone_moves_the_state(state: State, event: Input) -> None:
    _, call = _initial("caller")
    call.state = state
    if (state, event) in TRANSITIONS:
        call._advance(event)
        assert call.state is TRANSITIONS[state, event]
    else:
        with pytest.raises(LocalProtocolError):
            call._advance(event)
        assert call.state is state


@pytest.mark.parametrize("event", WIRE)
@pytest.mark.parametrize(("role", "state"), LEGS)
def test_what_a_peer_sends_moves_the_state_or_is_dropped(
    role: str, state: State, event: Input
) -> None:
    for frame_type, subclass, elements in WIRE[event]:
        peer, call = leg(role, state)
        if (state, event) == (State.AUTHREQ_SENT, Input.RECEIVE_AUTHREP):
            prove(peer)
        else:
            data = InformationElements.of(*elements).encode()
            octets = peer.frame(frame_type, subclass, data).encode()
            call.receive(octets if peer.key is None else peer.seal(octets), peer.now)
        # A first NEW makes a call and is none of its inputs.
        allowed = (state, event) in TRANSITIONS and event is not Input.RECEIVE_NEW
        assert call.state is (TRANSITIONS[state, event] if allowed else state), subclass
        assert _dropped(call) == (not allowed), subclass


def _dropped(call: Call) -> int:
    """Return how many frames the state refused; a challenge lets nothing but proofs in."""
    unproven = call.state is State.AUTHREQ_SENT
    seen = call.statistics
    return seen.dropped_illegal + (seen.dropped_implausible if unproven else 0)


@pytest.mark.parametrize(
    ("role", "state", "command"),
    [(role, state, command) for role, state in LEGS for command in COMMANDS_OF[role]],
)
def test_a_command_moves_the_state_or_raises(role: str, state: State, command: Input) -> None:
    for act in COMMANDS[command]:
        peer, call = leg(role, state)
        peer.take()
        sent = len(peer.received)
        if (state, command) in TRANSITIONS:
            act(call)
            assert call.state is TRANSITIONS[state, command]
        else:
            with pytest.raises(LocalProtocolError):
                act(call)
            peer.take()
            assert call.state is state
            assert len(peer.received) == sent


@pytest.mark.parametrize(("role", "state"), LEGS)
def test_hanging_up_ends_what_is_live_and_nothing_else(role: str, state: State) -> None:
    peer, call = leg(role, state)
    live = (state, Input.HANG_UP) in TRANSITIONS
    call.hang_up(peer.now)
    # Before the peer's call number is known there is nobody to tell.
    expected = State.GIVEN_UP if state is State.NEW_SENT else State.HANGUP_SENT
    assert call.state is (expected if live else state)


@pytest.mark.parametrize(("role", "state"), LEGS[1:8] + LEGS[9:])
def test_only_a_hangup_is_over_with_its_acknowledgement(role: str, state: State) -> None:
    peer, call = leg(role, state)
    sequence = call._channel.sequence
    ack = peer.frame(FrameType.IAX, IaxSubclass.ACK)
    newest = peer.received[-1].frame.timestamp_ms
    peer.put(replace(ack, iseqno=sequence.oseqno, timestamp_ms=newest))
    allowed = (state, Input.RECEIVE_FINAL_ACK) in TRANSITIONS
    assert call.state is (State.ENDED if allowed else state)


@pytest.mark.parametrize(("role", "state"), LEGS[1:8] + LEGS[9:])
def test_a_peer_that_falls_silent_is_given_up(role: str, state: State) -> None:
    peer, call = leg(role, state)
    peer.acknowledges = False
    peer.elapse(60)
    assert call.state is (State.GIVEN_UP if state in EARLY else State.ENDED)
    assert peer.endpoint.live_calls == 0
    assert len(peer.told(CallEnded)) == 1


def test_each_pair_of_the_table_can_be_reached() -> None:
    """What stands in the table is what some leg of either role allows."""
    tried = {(state, event) for _, state in LEGS for event in Input}
    assert set(TRANSITIONS) <= tried


def test_a_handshake_is_what_a_timer_brings_to_an_end() -> None:
    assert set(HANDSHAKE) == {State.NEW_SENT, State.AUTHREP_SENT, State.AUTHREQ_SENT}


def test_nothing_leaves_the_end() -> None:
    assert not any(state is State.ENDED for state, _ in TRANSITIONS)
