"""The endpoint: one IAX2 socket's worth of calls, without the socket.

In: `receive_datagram`, `handle_timeout` and commands on calls, each with `now`. Out: drain
`poll_transmit` and `poll_event` after every input, and come back at `next_timeout`.

A source that has not proven its address by a call token costs no state here.
"""

import hmac
import os
from collections import Counter, deque
from collections.abc import Iterable
from struct import Struct
from typing import Final, NamedTuple

from bridge.iax2.admission import Admission
from bridge.iax2.auth import Address, CallTokens, IssuedChallenges
from bridge.iax2.call import Call
from bridge.iax2.call_numbers import CallNumbers
from bridge.iax2.callee import CalleeCall, NewIdentity, Treatment, User
from bridge.iax2.caller import CallerCall, CallProfile
from bridge.iax2.cipher import Entropy, Reserve
from bridge.iax2.constants import (
    CALL_NUMBER_NONE,
    CALL_NUMBER_STATELESS,
    Cause,
    ElementType,
    Encryption,
    FrameType,
    IaxSubclass,
)
from bridge.iax2.deadlines import Deadlines
from bridge.iax2.elements import InformationElements, parse_elements_untrusted
from bridge.iax2.errors import FrameError, LocalProtocolError
from bridge.iax2.events import Event
from bridge.iax2.frames import FULL_HEADER_OCTETS, FullFrame, parse_frame_untrusted
from bridge.iax2.peers import Peers
from bridge.iax2.registrar import Registrant
from bridge.iax2.services import FrameWatch
from bridge.iax2.states import OVER

CALLS_MAX: Final = 4600
"""Lingering ones, too: some 450 a second. As numbers then rest for a minute, some stay free."""

_AMPLIFICATION_NUMERATOR: Final = 3
_AMPLIFICATION_DENOMINATOR: Final = 2
_CALL_NUMBER_MASK: Final = 0x7FFF
_CALL_NUMBERS: Final = Struct("!HH")
_NAMES_KEY_OCTETS: Final = 32


class Transmit(NamedTuple):
    """A datagram to send."""

    data: bytes
    address: Address


class Endpoint:
    """All calls of one socket, both roles.

    Args:
        users: Peers that may call us; none by default.
        registrants: Peers that may register with us; none by default.
        entropy: Source of all randomness; the system's unless a test seeds it.
        watch: Is shown every full frame of the calls.

    Attributes:
        issued: Our own challenges, which we never answer.
        dropped: Counts of datagrams that belong to no call, by reason.
        peers: What is kept up with peers beside calls; its events are polled there.
    """

    def __init__(
        self,
        users: Iterable[User] = (),
        entropy: Entropy = os.urandom,
        registrants: Iterable[Registrant] = (),
        watch: FrameWatch | None = None,
    ) -> None:
        self.entropy = entropy
        self.watch = watch
        self.padding: Entropy = Reserve(entropy).take
        self.issued = IssuedChallenges()
        self.dropped: Counter[str] = Counter()
        self._users = {user.username: user for user in users}
        self._secrets_tried = max((len(user.secrets) for user in self._users.values()), default=0)
        self._names_key = entropy(_NAMES_KEY_OCTETS)
        self._tokens = CallTokens(entropy)
        self._numbers = CallNumbers(entropy)
        self._calls: dict[int, Call] = {}
        self._by_peer: dict[tuple[Address, int], Call] = {}
        self._by_new: dict[NewIdentity, CalleeCall] = {}
        self._admission = Admission()
        self._transmits: deque[Transmit] = deque()
        self._events: deque[Event] = deque()
        self._deadlines = Deadlines()
        self.reschedule = self._deadlines.file
        self.peers = Peers(
            registrants,
            entropy=entropy,
            issued=self.issued,
            numbers=self._numbers,
            transmit=self.transmit,
            reschedule=self.reschedule,
        )

    @property
    def live_calls(self) -> int:
        """How many calls are not over; those that linger for late frames do not count."""
        return sum(call.state not in OVER for call in self._calls.values())

    @property
    def call_numbers_taken(self) -> int:
        """How many local call numbers are in use or at rest."""
        return self._numbers.taken

    @property
    def call_numbers_leaked(self) -> int:
        """How many local call numbers belong to nothing that is still known: always none."""
        return self._numbers.in_use - len(self._calls) - len(self.peers)

    def place_call(self, profile: CallProfile, address: Address, now: float) -> Call:
        """Start a call; how it goes is told by events.

        Raises:
            LocalProtocolError: too many calls, or no call number is free.
        """
        call = CallerCall(self, self._new_call_number(now), address, profile)
        self._calls[call.call_number] = call
        call.place(now)
        return call

    def receive_datagram(self, data: bytes, address: Address, now: float) -> None:
        """Take whatever the socket received; never raises for what a peer sent."""
        try:
            if data[:1] >= b"\x80":
                self._receive_full(data, address, now)
            else:
                self._receive_mini(data, address, now)
        except FrameError:
            self.dropped["malformed"] += 1

    def handle_timeout(self, now: float) -> None:
        """Serve everything whose deadline has come."""
        while (waiting := self._deadlines.pop_due(now)) is not None:
            waiting.handle_timeout(now)

    def next_timeout(self) -> float | None:
        """Return when `handle_timeout` is due, None where nothing waits."""
        return self._deadlines.next()

    @property
    def has_news(self) -> bool:
        """Whether there is something to poll, of peers, too."""
        return bool(self._transmits or self._events or self.peers.has_news)

    def poll_transmit(self) -> Transmit | None:
        """Return the next datagram to send, None when all are taken."""
        return self._transmits.popleft() if self._transmits else None

    def poll_event(self) -> Event | None:
        """Return the next event, None when all are taken."""
        return self._events.popleft() if self._events else None

    def transmit(self, datagram: bytes, address: Address) -> None:
        """Queue a datagram (for calls)."""
        self._transmits.append(Transmit(datagram, address))

    def emit(self, event: Event) -> None:
        """Queue an event (for calls)."""
        self._events.append(event)

    def authenticated(self, call: Call) -> None:
        """Take note that a caller has proven its secret (for calls)."""
        self._admission.prove(call.address)

    def route_voice(self, call: Call, now: float) -> None:
        """Route mini frames by the peer's call number, which its secret has proven (for calls).

        An earlier call of that number is over: its peer has started anew.
        """
        peer = (call.address, call.peer_call_number)
        earlier, self._by_peer[peer] = self._by_peer.get(peer), call
        if earlier is not None:
            earlier.supersede(now)

    def forget(self, call: Call, now: float) -> None:
        """Release a call that is over (for calls)."""
        del self._calls[call.call_number]
        peer = (call.address, call.peer_call_number)
        if self._by_peer.get(peer) is call:
            del self._by_peer[peer]
        if isinstance(call, CalleeCall):
            del self._by_new[call.identity]
            self._admission.leave(call.address, proven=call.is_authenticated)
        self._numbers.release(call.call_number, now)

    def _receive_full(self, data: bytes, address: Address, now: float) -> None:
        if len(data) < FULL_HEADER_OCTETS:
            raise FrameError("shorter than the header of a full frame")
        source, destination = _CALL_NUMBERS.unpack_from(data)
        source &= _CALL_NUMBER_MASK
        destination &= _CALL_NUMBER_MASK
        call = self._calls.get(destination)
        if call is None:
            if destination in (CALL_NUMBER_NONE, CALL_NUMBER_STATELESS):
                self._receive_out_of_call(data, address, now)
            elif not self.peers.receive(data, destination, address, now):
                self.dropped["no such call"] += 1
        elif call.address != address:
            self.dropped["no such call"] += 1
        elif source not in (known := call.peer_call_number, CALL_NUMBER_STATELESS) and (
            known != CALL_NUMBER_NONE
        ):
            self.dropped["another call number"] += 1
        else:
            call.receive(data, now)

    def _receive_mini(self, data: bytes, address: Address, now: float) -> None:
        call = self._by_peer.get((address, int.from_bytes(data[:2], "big")))
        if call is None:
            self.dropped["no such call"] += 1
        else:
            call.receive_voice(data, now)

    def _receive_out_of_call(self, data: bytes, address: Address, now: float) -> None:
        frame = parse_frame_untrusted(data)
        if not isinstance(frame, FullFrame) or frame.frame_type != FrameType.IAX:
            raise FrameError("no IAX frame outside a call")
        match frame.subclass:
            case IaxSubclass.NEW:
                self._receive_new(frame, len(data), address, now)
            case IaxSubclass.REGREQ | IaxSubclass.REGREL:
                self._receive_registration(frame, len(data), address, now)
            case IaxSubclass.POKE:
                self._reply(frame, IaxSubclass.PONG, InformationElements(), len(data), address)
            case _:
                self.dropped["outside a call"] += 1

    def _receive_new(self, frame: FullFrame, octets: int, address: Address, now: float) -> None:
        elements = parse_elements_untrusted(frame.data)
        token = elements.get(ElementType.CALLTOKEN) or b""
        if not self._users:
            self.dropped["no calls are taken"] += 1
        elif not self._has_token(frame, elements, octets, address, now):
            return
        elif not (elements.uint(ElementType.ENCRYPTION, 2) or 0) & Encryption.AES128:
            reply = InformationElements.of((ElementType.CAUSECODE, (Cause.FACILITY_REJECTED, 1)))
            self._reply(frame, IaxSubclass.REJECT, reply, octets, address)
        elif NewIdentity(address, frame.source_call_number, token) in self._by_new:
            pass  # sent again, and so is the reply to it, by its own timer
        elif (why_refused := self._admission.why_refused(address)) is not None:
            self.dropped[why_refused] += 1
        else:
            self._challenge(frame, elements, address, now)

    def _receive_registration(
        self, frame: FullFrame, octets: int, address: Address, now: float
    ) -> None:
        elements = parse_elements_untrusted(frame.data)
        registrar = self.peers.registrar
        if not registrar.bindings:
            self.dropped["no registrations are taken"] += 1
        elif self._has_token(frame, elements, octets, address, now):
            why_dropped = registrar.receive(frame, elements, address, now)
            if why_dropped is not None:
                self.dropped[why_dropped] += 1

    def _has_token(
        self,
        frame: FullFrame,
        elements: InformationElements,
        octets: int,
        address: Address,
        now: float,
    ) -> bool:
        """Tell whether the source has proven its address; one that brings no token gets one."""
        token = elements.get(ElementType.CALLTOKEN)
        if not token:
            issued = (ElementType.CALLTOKEN, self._tokens.issue(address, now))
            reply = InformationElements.of(issued)
            self._reply(frame, IaxSubclass.CALLTOKEN, reply, octets, address)
            return False
        if self._tokens.verify(token, address, now):
            return True
        self.dropped["invalid call token"] += 1
        return False

    def _challenge(
        self, frame: FullFrame, elements: InformationElements, address: Address, now: float
    ) -> None:
        name = elements.get(ElementType.USERNAME) or b""
        user = self._users.get(name.decode(errors="replace"))
        if user is not None and not user.may_call_from(address):
            user = None  # asked for its proof like one that is known, which then never comes
        try:
            call_number = self._new_call_number(now)
        except LocalProtocolError:
            self.dropped["too many calls"] += 1
            return
        call = CalleeCall(self, call_number, address, user, self._treatment(user, name))
        if self.watch is not None:
            self.watch.received(frame, address, encrypted=False)
        self._calls[call_number] = call
        self._admission.enter(address)
        call.challenge(frame, elements, now)
        self._by_new[call.identity] = call

    def _treatment(self, user: User | None, name: bytes) -> Treatment:
        """Return what a user gets; for nobody what some user would, and the same for each name."""
        if user is None:
            drawn = int.from_bytes(hmac.digest(self._names_key, name, "sha256"), "big")
            user = tuple(self._users.values())[drawn % len(self._users)]
        return Treatment(user.method, self._secrets_tried)

    def _reply(
        self,
        frame: FullFrame,
        subclass: IaxSubclass,
        elements: InformationElements,
        octets: int,
        address: Address,
    ) -> None:
        """Answer without state, and never with more than one and a half times the question."""
        reply = FullFrame(
            CALL_NUMBER_STATELESS,
            frame.source_call_number,
            frame.timestamp_ms,
            0,
            (frame.oseqno + 1) & 0xFF,
            FrameType.IAX,
            subclass,
            elements.encode(),
        ).encode()
        if len(reply) * _AMPLIFICATION_DENOMINATOR > octets * _AMPLIFICATION_NUMERATOR:
            self.dropped["question too short for its answer"] += 1
        else:
            self.transmit(reply, address)

    def _new_call_number(self, now: float) -> int:
        if len(self._calls) >= CALLS_MAX:
            raise LocalProtocolError(f"{CALLS_MAX} calls are the limit of an endpoint")
        return self._numbers.allocate(now)
