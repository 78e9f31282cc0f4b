"""An endpoint under attack: what is sent to it, what it sends back, and the bounds that it keeps.

The bounds are the documented ones: calls and unauthenticated calls, call numbers, frames that are
outstanding or held, deadlines, and what a source without a valid token gets.
"""

from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

from bridge.iax2 import (
    Address,
    CalleeCall,
    CallEnded,
    ControlSubclass,
    Format,
    LocalProtocolError,
    Transmit,
)
from bridge.iax2.admission import CALLS_PER_SOURCE_MAX, UNAUTHENTICATED_PER_SOURCE_MAX
from bridge.iax2.constants import ElementType, FrameType, IaxSubclass
from bridge.iax2.deadlines import ABANDONED_MAX
from bridge.iax2.elements import InformationElements
from bridge.iax2.registrar import EXCHANGES_PER_SOURCE_MAX
from bridge.iax2.reliability import OUTSTANDING_MAX, SEQUENCE_MODULUS, SEQUENCE_WINDOW
from bridge.iax2.states import State
from tests.lab.iax2_peer import PEER, VOICE, Peer
from tests.lab.iax2_phases import callee_in, caller_in, taker
from tests.lab.iax2_trace import FrameTrace, Passed

DEADLINES_PER_CALL = 4

ENDPOINT: Address = ("192.0.2.1", 4569)
"""Where the endpoint stands in a trace."""

CALLER_STATES = (
    State.NEW_SENT,
    State.GIVEN_UP,
    State.AUTHREP_SENT,
    State.LINKED,
    State.UP,
    State.HANGUP_SENT,
    State.ENDED,
)
CALLEE_STATES = (
    State.AUTHREQ_SENT,
    State.AUTHENTICATED,
    State.LINKED,
    State.UP,
    State.HANGUP_SENT,
    State.ENDED,
)
PHASES: dict[str, Callable[[], Peer]] = {
    "no call": taker,
    **{f"caller {state.name}": lambda s=state: caller_in(s)[0] for state in CALLER_STATES},  # type: ignore[misc]
    **{f"callee {state.name}": lambda s=state: callee_in(s)[0] for state in CALLEE_STATES},  # type: ignore[misc]
}
FRAMES = (
    *((FrameType.IAX, subclass) for subclass in IaxSubclass),
    (FrameType.CONTROL, ControlSubclass.ANSWER),
    (FrameType.CONTROL, ControlSubclass.BUSY),
    (FrameType.DTMF_END, ord("5")),
    (FrameType.CNG, 0),
    (FrameType.VOICE, Format.ULAW),
    (FrameType.TEXT, 0),
)
ELEMENTS = (
    b"",
    VOICE,
    InformationElements.of((ElementType.CHALLENGE, bytes(16))).encode(),
    InformationElements.of((ElementType.FORMAT, (Format.ULAW, 4))).encode(),
    InformationElements.of((ElementType.CAUSECODE, (16, 1))).encode(),
    InformationElements.of((ElementType.CALLTOKEN, b"token")).encode(),
    InformationElements.of(
        (ElementType.AUTHMETHODS, (2, 2)),
        (ElementType.CHALLENGE, b"1"),
        (ElementType.ENCRYPTION, (1, 2)),
    ).encode(),
)


@dataclass(slots=True)
class Attack:
    """What is sent to one endpoint, and what it sends back, by address.

    Attributes:
        proven: Addresses that had a valid token, or that the endpoint itself called.
        answers: The endpoint's newest datagrams, for senders that repeat and reflect them.
        trace: Is told what passes, where somebody wants to read it.
    """

    peer: Peer
    proven: frozenset[Address] = frozenset({PEER})
    answers: deque[bytes] = field(default_factory=lambda: deque(maxlen=32))
    trace: FrameTrace | None = None
    received_octets: Counter[Address] = field(default_factory=Counter)
    sent_octets: Counter[Address] = field(default_factory=Counter)
    most_replies: int = 0
    ended: int = 0

    def __post_init__(self) -> None:
        self.ended = len(self.peer.told(CallEnded))

    def send(self, datagram: bytes, address: Address) -> None:
        """Send one datagram, and see that all stays within its bounds."""
        self.give(datagram, address)
        self.check_bounds()

    def give(self, datagram: bytes, address: Address) -> None:
        """Send one datagram."""
        self.received_octets[address] += len(datagram)
        if self.trace is not None:
            self.trace.note(Passed(self.peer.now, address, ENDPOINT, datagram))
        self.peer.endpoint.receive_datagram(datagram, address, self.peer.now)
        self.drain()

    def command(self, random: Random) -> None:
        """Let the application do something with one of the calls, allowed or not."""
        calls = list(self.peer.endpoint._calls.values())
        if not calls:
            return
        call, now = random.choice(calls), self.peer.now
        commands: list[Callable[[], None]] = [
            lambda: call.hang_up(now),
            lambda: call.send_digit("5", now),
            lambda: call.send_voice(VOICE, random.randrange(2**32), now),
        ]
        if isinstance(call, CalleeCall):
            commands += [
                lambda: call.accept(Format.ULAW, now),
                lambda: call.answer(now),
                lambda: call.reject(now),
            ]
        with suppress(LocalProtocolError):
            random.choice(commands)()
        self.drain()

    def pass_time(self, seconds: float) -> None:
        """Serve deadlines."""
        endpoint, end = self.peer.endpoint, self.peer.now + seconds
        while (due := endpoint.next_timeout()) is not None and due <= end:
            self.peer.now = max(due, self.peer.now)
            endpoint.handle_timeout(self.peer.now)
            self.drain()
        self.peer.now = end

    def drain(self) -> None:
        """Take what the endpoint wants to send and tell."""
        replies = 0
        while (transmit := self.peer.endpoint.poll_transmit()) is not None:
            replies += 1
            self._take(transmit)
        self.most_replies = max(self.most_replies, replies)
        while (event := self.peer.endpoint.poll_event()) is not None:
            self.ended += isinstance(event, CallEnded)
        while self.peer.endpoint.peers.poll_event() is not None:
            pass

    def _take(self, transmit: Transmit) -> None:
        address = transmit.address
        self.sent_octets[address] += len(transmit.data)
        if self.trace is not None:
            self.trace.note(Passed(self.peer.now, ENDPOINT, address, transmit.data))
        if address in self.proven:
            self.answers.append(transmit.data)
        else:
            assert 2 * self.sent_octets[address] <= 3 * self.received_octets[address]

    def check_bounds(self) -> None:
        """See that nothing grows with what is sent."""
        endpoint = self.peer.endpoint
        taken = [call for call in endpoint._calls.values() if isinstance(call, CalleeCall)]
        unproven = sum(not call.is_authenticated for call in taken)
        assert unproven <= UNAUTHENTICATED_PER_SOURCE_MAX
        assert len(endpoint._calls) <= 1 + len(taken) <= 1 + CALLS_PER_SOURCE_MAX
        assert len(endpoint._by_peer) <= len(endpoint._calls)
        assert len(endpoint._by_new) <= len(endpoint._calls)
        assert endpoint._admission.sources <= len(endpoint._calls)
        assert len(endpoint.peers) <= EXCHANGES_PER_SOURCE_MAX
        waiting = (
            len(endpoint._calls) + len(endpoint.peers) + len(endpoint.peers.registrar.bindings)
        )
        assert len(endpoint._deadlines) <= 2 * ABANDONED_MAX + DEADLINES_PER_CALL * waiting
        assert endpoint.call_numbers_leaked == 0
        assert self.most_replies <= OUTSTANDING_MAX + SEQUENCE_WINDOW
        for call in endpoint._calls.values():
            sequence = call._channel.sequence
            assert sequence.outstanding <= OUTSTANDING_MAX + 1
            assert len(sequence._held) <= SEQUENCE_WINDOW
            assert len(sequence._sent_timestamps_ms) <= SEQUENCE_MODULUS

    def check_the_end(self) -> None:
        """See that all calls end when the attack does."""
        self.pass_time(100)
        endpoint = self.peer.endpoint
        assert not endpoint._calls
        assert not endpoint._by_peer
        assert not endpoint._by_new
        assert endpoint._admission.sources == 0
        assert not endpoint.peers
        assert self.peer.endpoint.call_numbers_leaked == 0
