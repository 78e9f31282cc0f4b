"""Whatever anybody sends, in every phase of a call: nothing raises, and nothing grows.

Three kinds of sender: one who sends random octets, one who changes real datagrams, and a peer
who knows the secret and encrypts whatever it likes.
"""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.iax2 import (
    Address,
    CalleeCall,
    CallEnded,
    ControlSubclass,
    Format,
    LocalProtocolError,
)
from bridge.iax2.constants import ElementType, FrameType, IaxSubclass
from bridge.iax2.elements import InformationElements
from bridge.iax2.endpoint import UNAUTHENTICATED_PER_SOURCE_MAX
from bridge.iax2.reliability import OUTSTANDING_MAX, SEQUENCE_MODULUS, SEQUENCE_WINDOW
from bridge.iax2.states import State
from tests.lab.iax2_peer import PEER, STRANGER, VOICE, Peer
from tests.lab.iax2_phases import ask_token, callee_in, caller_in, new_elements, taker

CALLER_STATES = (
    State.NEW_SENT,
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
SEEDS = st.lists(st.integers(0, 2**32), min_size=1, max_size=40)


@dataclass(slots=True)
class Attack:
    """What is sent to one endpoint, and what it sends back, by address."""

    peer: Peer
    received_octets: Counter[Address] = field(default_factory=Counter)
    sent_octets: Counter[Address] = field(default_factory=Counter)
    most_replies: int = 0
    ended: int = 0

    def __post_init__(self) -> None:
        self.ended = len(self.peer.told(CallEnded))

    def send(self, datagram: bytes, address: Address) -> None:
        """Send one datagram, and see that all stays within its bounds."""
        self.received_octets[address] += len(datagram)
        self.peer.endpoint.receive_datagram(datagram, address, self.peer.now)
        self.drain()
        self.check_bounds()

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
            self.sent_octets[transmit.address] += len(transmit.data)
            replies += 1
        self.most_replies = max(self.most_replies, replies)
        while (event := self.peer.endpoint.poll_event()) is not None:
            self.ended += isinstance(event, CallEnded)

    def check_bounds(self) -> None:
        """See that nothing grows with what is sent."""
        endpoint = self.peer.endpoint
        assert len(endpoint._calls) <= 1 + UNAUTHENTICATED_PER_SOURCE_MAX
        assert len(endpoint._by_peer) <= len(endpoint._calls)
        assert len(endpoint._scheduled) <= len(endpoint._calls)
        assert endpoint.call_numbers_leaked == 0
        assert self.most_replies <= OUTSTANDING_MAX + SEQUENCE_WINDOW
        for call in endpoint._calls.values():
            sequence = call._channel.sequence
            assert sequence.outstanding <= OUTSTANDING_MAX + 1
            assert len(sequence._held) <= SEQUENCE_WINDOW
            assert len(sequence._sent_timestamps_ms) <= SEQUENCE_MODULUS

    def check_the_end(self) -> None:
        """See that all calls end when the attack does, but for one that waits for our decision."""
        self.pass_time(80)
        left = [call.state for call in self.peer.endpoint._calls.values()]
        assert set(left) <= {State.AUTHENTICATED}
        assert self.peer.endpoint.call_numbers_leaked == 0


def an_address(random: Random) -> Address:
    return PEER if random.random() < 0.8 else STRANGER


@pytest.mark.parametrize("phase", PHASES)
@settings(max_examples=15)
@given(SEEDS, st.binary(max_size=600))
def test_random_octets(phase: str, seeds: list[int], octets: bytes) -> None:
    attack = Attack(PHASES[phase]())
    attack.send(octets, PEER)
    header = attack.peer.frame(FrameType.IAX, IaxSubclass.PING).encode()
    for seed in seeds:
        random = Random(seed)
        clear = random.choice((0, 1, 4, 8, 12))
        attack.send(header[:clear] + random.randbytes(random.randrange(300)), an_address(random))
    attack.check_the_end()


@pytest.mark.parametrize("phase", PHASES)
@settings(max_examples=15)
@given(SEEDS)
def test_real_datagrams_that_were_changed(phase: str, seeds: list[int]) -> None:
    attack = Attack(PHASES[phase]())
    for seed in seeds:
        random = Random(seed)
        frame_type, subclass = random.choice(FRAMES)
        octets = attack.peer.frame(frame_type, subclass, random.choice(ELEMENTS)).encode()
        if random.random() < 0.3:
            octets = b"\x00\x4d" + random.randbytes(2) + VOICE
        encrypted = attack.peer.key is not None and random.random() < 0.8
        datagram = bytearray(attack.peer.seal(octets) if encrypted else octets)
        for _ in range(random.randrange(4)):
            datagram[random.randrange(len(datagram))] ^= 1 << random.randrange(8)
        attack.send(bytes(datagram[: random.choice((len(datagram), 300, 40, 20))]), PEER)
        if random.random() < 0.2:
            attack.pass_time(random.random() * 5)
    attack.check_the_end()


@pytest.mark.parametrize("phase", PHASES)
@settings(max_examples=25)
@given(SEEDS)
def test_a_peer_that_knows_the_key_and_obeys_no_rule(phase: str, seeds: list[int]) -> None:
    attack = Attack(PHASES[phase]())
    peer = attack.peer
    for seed in seeds:
        random = Random(seed)
        frame_type, subclass = random.choice(FRAMES)
        data = random.choice((*ELEMENTS, random.randbytes(random.randrange(1100))))
        octets = bytearray(peer.frame(frame_type, subclass, data).encode())
        if random.random() < 0.3:
            octets[random.randrange(2, 12)] = random.randrange(256)
        peer.oseqno = (peer.oseqno + random.choice((0, 1, 1, 1, 1, 2, 20))) % 256
        for _ in range(random.choice((1, 1, 1, 2, 70))):
            attack.send(bytes(octets) if peer.key is None else peer.seal(bytes(octets)), PEER)
        if random.random() < 0.2:
            attack.command(random)
        if random.random() < 0.3:
            attack.pass_time(random.random() * 5)
    attack.check_the_end()
    assert attack.ended <= 1 + UNAUTHENTICATED_PER_SOURCE_MAX * len(seeds)


@settings(max_examples=60)
@given(SEEDS)
def test_a_stranger_gets_one_and_a_half_times_its_octets_at_most(seeds: list[int]) -> None:
    peer = taker()
    token = ask_token(Peer(peer.endpoint, address=STRANGER))
    attack = Attack(peer)
    for seed in seeds:
        random = Random(seed)
        peer.call_number = random.choice((1, 2, 77, 0x7FFF))
        subclass = random.choice((IaxSubclass.NEW, IaxSubclass.POKE, *IaxSubclass))
        data = random.choice(
            (new_elements().encode(), new_elements(token).encode(), b"", random.randbytes(40))
        )
        octets = peer.frame(FrameType.IAX, subclass, data[: random.randrange(120)]).encode()
        attack.send(octets, PEER)
        assert 2 * attack.sent_octets[PEER] <= 3 * attack.received_octets[PEER]
        assert not peer.endpoint._calls
        assert peer.endpoint.call_numbers_taken == 0
    attack.pass_time(60)
    assert 2 * attack.sent_octets[PEER] <= 3 * attack.received_octets[PEER]
