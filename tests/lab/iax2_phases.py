"""Calls with a hand-written peer, brought into the state that a test wants, in either role."""

from dataclasses import replace
from random import Random
from typing import Final

from bridge.iax2 import (
    Call,
    CalleeCall,
    CallProfile,
    Cause,
    ControlSubclass,
    Endpoint,
    Format,
    IncomingCall,
    Registrant,
    User,
)
from bridge.iax2.constants import AuthMethod, ElementType, Encryption, FrameType, IaxSubclass
from bridge.iax2.elements import ElementValue, InformationElements
from bridge.iax2.frames import FullFrame
from bridge.iax2.states import State
from tests.lab.iax2_pair import EXTENSION, SECRET, USERNAME, call_profile
from tests.lab.iax2_peer import Peer
from tests.lab.iax2_registry import REGISTER_NAME, REGISTER_SECRET
from tests.vectors.reference import reference_key

CHALLENGE: Final = b"176120585"


def place(profile: CallProfile | None = None) -> tuple[Peer, Call]:
    """Let an endpoint place a call to a peer that has not said anything yet."""
    peer = Peer(Endpoint(entropy=Random(5).randbytes))
    call = peer.endpoint.place_call(profile or call_profile(), peer.address, peer.now)
    peer.take()
    peer.other_call_number = call.call_number
    return peer, call


def offer_token(peer: Peer, token: bytes = b"a token") -> None:
    """Answer NEW with a call token."""
    question = peer.got(IaxSubclass.NEW)[-1].frame
    elements = InformationElements.of((ElementType.CALLTOKEN, token))
    answer = peer.frame(FrameType.IAX, IaxSubclass.CALLTOKEN, elements.encode())
    peer.put(replace(answer, source_call_number=1, iseqno=1, timestamp_ms=question.timestamp_ms))


def challenge(
    peer: Peer,
    *,
    challenge_text: bytes = CHALLENGE,
    methods: int = AuthMethod.MD5,
    encryption: int | None = Encryption.AES128,
) -> bytes:
    """Answer NEW with a challenge, and encrypt from there on; return the datagram."""
    peer.iseqno = 1
    elements: list[tuple[int, ElementValue]] = [
        (ElementType.AUTHMETHODS, (methods, 2)),
        (ElementType.CHALLENGE, challenge_text),
        (ElementType.USERNAME, USERNAME),
    ]
    if encryption is not None:
        elements.append((ElementType.ENCRYPTION, (encryption, 2)))
        peer.encrypt_with(reference_key(challenge_text, SECRET))
    data = InformationElements.of(*elements).encode()
    return peer.send(FrameType.IAX, IaxSubclass.AUTHREQ, data, clear=True)


def accept(peer: Peer, media_format: int = Format.ULAW) -> None:
    """Accept the call."""
    peer.send_iax(IaxSubclass.ACCEPT, (ElementType.FORMAT, (media_format, 4)))


def answer(peer: Peer) -> None:
    """Answer the call."""
    peer.send(FrameType.CONTROL, ControlSubclass.ANSWER)


def caller_in(state: State, profile: CallProfile | None = None) -> tuple[Peer, Call]:
    """Return a call that an endpoint placed, and its peer, in a state."""
    peer, call = place(profile)
    if state is State.NEW_SENT:
        return peer, call
    if state is State.GIVEN_UP:
        call.hang_up(peer.now)
        peer.take()
        return peer, call
    challenge(peer)
    if state is not State.AUTHREP_SENT:
        accept(peer)
    if state in (State.UP, State.HANGUP_SENT, State.ENDED):
        answer(peer)
    _end_in(state, peer, call)
    assert call.state is state
    return peer, call


def taker(*users: User) -> Peer:
    """Return a peer of an endpoint that takes calls, and registrations."""
    registrant = Registrant("branch", REGISTER_NAME, REGISTER_SECRET)
    return Peer(
        Endpoint(
            users or [User(USERNAME, (SECRET,))],
            entropy=Random(6).randbytes,
            registrants=[registrant],
        )
    )


def new_elements(
    token: bytes = b"", *, username: str = USERNAME, encryption: int | None = Encryption.AES128
) -> InformationElements:
    """Return the elements of a NEW as Asterisk sends it, but for what it tells of the caller."""
    elements: list[tuple[int, ElementValue]] = [
        (ElementType.VERSION, (2, 2)),
        (ElementType.CALLED_NUMBER, EXTENSION),
        (ElementType.CODEC_PREFS, "DE"),
        (ElementType.USERNAME, username),
        (ElementType.FORMAT, (Format.ULAW, 4)),
        (ElementType.CAPABILITY, (Format.ULAW | Format.ALAW, 4)),
    ]
    if encryption is not None:
        elements.append((ElementType.ENCRYPTION, (encryption, 2)))
    return InformationElements.of(*elements, (ElementType.CALLTOKEN, token))


def dropped(peer: Peer) -> dict[str, int]:
    """Why its endpoint has dropped frames, and how often."""
    return dict(peer.endpoint.dropped)


def new_frame(peer: Peer, token: bytes = b"") -> FullFrame:
    """A NEW of the peer's, with its token or without one."""
    return peer.frame(FrameType.IAX, IaxSubclass.NEW, new_elements(token).encode())


def ask_token(peer: Peer) -> bytes:
    """Send a NEW without a token, and return the token that comes."""
    peer.put(peer.frame(FrameType.IAX, IaxSubclass.NEW, new_elements().encode()))
    token = peer.got(IaxSubclass.CALLTOKEN)[-1].elements.get(ElementType.CALLTOKEN)
    assert token is not None
    return token


def send_new(peer: Peer, elements: InformationElements) -> None:
    """Send a NEW that begins the sequence anew, and note the call number that answers."""
    peer.oseqno = peer.iseqno = peer.other_call_number = 0
    before = len(peer.received)
    peer.send(FrameType.IAX, IaxSubclass.NEW, elements.encode())
    for received in peer.received[before:]:
        peer.other_call_number = received.frame.source_call_number


def prove(peer: Peer, secret: bytes = SECRET) -> None:
    """Answer the endpoint's challenge, encrypted."""
    challenge_text = peer.got(IaxSubclass.AUTHREQ)[-1].elements.get(ElementType.CHALLENGE) or b""
    key = reference_key(challenge_text, secret)
    peer.encrypt_with(key)
    peer.send_iax(IaxSubclass.AUTHREP, (ElementType.MD5_RESULT, key.hex()))


def callee_of(peer: Peer) -> CalleeCall:
    """Return the newest call that the peer placed to the endpoint."""
    call = peer.endpoint._calls[peer.other_call_number]
    assert isinstance(call, CalleeCall)
    return call


def callee_in(state: State, peer: Peer | None = None) -> tuple[Peer, CalleeCall]:
    """Return a call that a peer placed to an endpoint, in a state."""
    peer = peer or taker()
    send_new(peer, new_elements(ask_token(peer)))
    call = callee_of(peer)
    if state is State.AUTHREQ_SENT:
        return peer, call
    prove(peer)
    assert peer.told(IncomingCall)
    if state is not State.AUTHENTICATED:
        call.accept(Format.ULAW, peer.now)
        peer.take()
    if state in (State.UP, State.HANGUP_SENT, State.ENDED):
        call.answer(peer.now)
        peer.take()
    _end_in(state, peer, call)
    assert call.state is state
    return peer, call


def _end_in(state: State, peer: Peer, call: Call) -> None:
    if state is State.HANGUP_SENT:
        peer.acknowledges = False
        call.hang_up(peer.now)
        peer.take()
        peer.iseqno -= 1  # as if the HANGUP had been lost
    elif state is State.ENDED:
        peer.send_iax(IaxSubclass.HANGUP, (ElementType.CAUSECODE, (Cause.NORMAL_CLEARING, 1)))
