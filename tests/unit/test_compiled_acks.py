"""ACKs that the compiled relay takes against the engine's own: the same in every slot."""

import random
import socket
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

import pytest

from bridge.iax2 import Acknowledged
from bridge.iax2.channel import FrameChannel
from bridge.iax2.constants import FrameType, IaxSubclass
from bridge.iax2.frames import FullFrame
from bridge.iax2.inputs import is_unsequenced
from bridge.iax2.states import State
from bridge.media.compiled import Compiled, LinkReader, fast_path
from bridge.media.ports import PortPool
from bridge.media.relay import Relay
from tests.lab.iax2_peer import Peer
from tests.lab.iax2_phases import caller_in

SIGNALS: Final = 400
SLOT_S: Final = 0.5
STATELESS: Final = b"\0\1"
BEFORE: Final = {
    1: (FrameType.CNG, 0),
    2: (FrameType.TEXT, 0),
    3: (FrameType.IAX, IaxSubclass.PING),
    4: (FrameType.IAX, IaxSubclass.LAGRQ),
}
"""Full frames that now and then come before an ACK, all but one of its size."""
ECHOES: Final = {
    16: (FrameType.IAX, IaxSubclass.LAGRP, 0),
    17: (FrameType.IAX, IaxSubclass.VNAK, 1),
    18: (FrameType.CONTROL, IaxSubclass.ACK, 0),
}
"""The like, with the timestamp of what is to be acknowledged, and how many frames they miss."""


class Wire:
    """A socket of the link, through which the compiled reader gets what a peer sends."""

    def __init__(self) -> None:
        self.near, self.far = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        for end in (self.near, self.far):
            end.bind(("127.0.0.1", 0))
            end.setblocking(False)  # noqa: FBT003 - the socket module's own

    def close(self) -> None:
        self.near.close()
        self.far.close()


@dataclass(slots=True)
class WiredPeer(Peer):
    """A peer whose frames come by way of the compiled reader, where there is one."""

    wire: Wire | None = None
    reader: LinkReader | None = None
    taken: Counter[str] = field(default_factory=Counter)

    def inject(self, datagram: bytes, address: Any = None) -> None:  # noqa: ANN401 - as the base
        """Give the endpoint what the reader leaves of it."""
        if self.wire is None or self.reader is None:
            Peer.inject(self, datagram, address)
            return
        self.wire.far.sendto(datagram, self.wire.near.getsockname())
        while (unusual := self.reader(self.now, 16)) not in (True, False):
            self.taken["left"] += 1
            assert isinstance(unusual, tuple)
            Peer.inject(self, unusual[0], address)
        self.taken["taken"] += unusual is True
        self.take()


class Side:
    """A call that is up, with the compiled reader before it or without."""

    def __init__(self, fast: Compiled | None) -> None:
        plain, self.call = caller_in(State.UP)
        held = {name: getattr(plain, name) for name in Peer.__dataclass_fields__}
        self.peer = WiredPeer(**held)
        self.relay = Relay(
            lambda *_: None, PortPool(34000, 39999, random.SystemRandom()), lambda *_: None, fast
        )
        self.wire = Wire()
        voice = self.call.voice
        assert voice is not None
        media = self.relay.open("127.0.0.1")
        media.connect(voice, lambda *_: None, self.peer.now)
        if fast is not None:
            numbers = {voice.route[1]: media, STATELESS: media}
            routes = {self.wire.far.getsockname(): numbers}
            self.peer.wire = self.wire
            self.peer.reader = fast.link_reader(self.wire.near.fileno(), routes)
        self.peer.acknowledges = False

    def state(self) -> dict[str, Any]:
        """All that an ACK may change."""
        channel: FrameChannel = self.call._channel
        sequence, statistics = channel.sequence, channel.statistics
        found = {name: getattr(sequence, name) for name in type(sequence).__slots__}
        found["_outstanding"] = [replace(waiting, sealer=None) for waiting in sequence._outstanding]
        acknowledged = [event.tag for event in self.peer.told(Acknowledged)]
        return {
            **found,
            "statistics": statistics,
            "acknowledged": acknowledged,
            "dropped": dict(self.peer.endpoint.dropped),
            "deadline": self.call.next_deadline(),
        }

    def close(self) -> None:
        self.relay.close()
        self.wire.close()


@pytest.fixture
def sides() -> Iterator[tuple[Side, Side]]:
    fast = fast_path()
    assert isinstance(fast, Compiled), "the compiled relay is not installed: make setup"
    made = Side(None), Side(fast)
    yield made
    for side in made:
        side.close()


def _signal(side: Side, rng: random.Random) -> None:
    tag = "tag" if rng.random() < 0.1 else None
    if rng.random() < 0.3:
        side.call.send_text(b"x", side.peer.now, tag)
    else:
        side.call.send_cng(side.peer.now, tag)
    side.peer.take()


def _answer(peer: Peer, rng: random.Random) -> None:
    """Acknowledge the newest frame: mostly as one does."""
    frame = peer.received[-1].frame
    ack = replace(peer.frame(FrameType.IAX, IaxSubclass.ACK), timestamp_ms=frame.timestamp_ms)
    fate = rng.randrange(80)
    if fate == 0:
        return  # lost
    if fate in BEFORE:
        peer.send(*BEFORE[fate])
    elif fate in ECHOES:
        frame_type, subclass, missed = ECHOES[fate]
        echo = replace(peer.frame(frame_type, subclass), timestamp_ms=frame.timestamp_ms)
        peer.put(replace(echo, iseqno=(echo.iseqno - missed) % 256))
        peer.oseqno += not is_unsequenced(echo)
    elif fate == 19:
        peer.elapse(0.3)  # so that the frame has been sent again
    ack = replace(ack, **_changes(ack, rng).get(fate, {}))
    datagram = peer.put(ack, key=bytes(16) if fate == 6 else None, clear=fate == 7)
    if fate == 8:
        peer.inject(datagram)
    elif fate == 9:
        peer.inject(datagram[:-1])


def _changes(ack: FullFrame, rng: random.Random) -> dict[int, dict[str, Any]]:
    return {
        10: {"iseqno": (ack.iseqno + rng.choice((-1, 1, rng.randrange(256)))) % 256},
        11: {"oseqno": (ack.oseqno + rng.randrange(256)) % 256},
        12: {"timestamp_ms": ack.timestamp_ms + rng.randrange(3)},
        13: {"destination_call_number": ack.destination_call_number ^ 1},
        14: {"source_call_number": 1},
        15: {"retransmission": True},
    }


@pytest.mark.parametrize("seed", range(6))
def test_both_take_the_same_from_what_comes(sides: tuple[Side, Side], seed: int) -> None:
    for step in range(SIGNALS):
        for side in sides:
            rng = random.Random(f"{seed} {step}")
            _signal(side, rng)
            side.peer.now += rng.uniform(0.001, 0.1)
            if rng.random() < 0.05:
                _signal(side, rng)  # two wait
            _answer(side.peer, rng)
            side.peer.elapse(SLOT_S)
        assert sides[0].state() == sides[1].state(), f"after step {step}"
    assert sides[1].peer.taken["taken"] > SIGNALS // 2
    assert sides[1].peer.taken["left"] > SIGNALS // 20


def test_a_plain_ack_never_reaches_the_engine(
    sides: tuple[Side, Side], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the comparison above is one of two paths, and not of one with itself."""
    monkeypatch.delattr(FrameChannel, "take_ack")
    _, side = sides
    for _ in range(300):
        side.call.send_cng(side.peer.now)
        side.peer.acknowledges = True
        side.peer.take()
        side.peer.now += SLOT_S
    assert side.peer.taken == {"taken": 300}
    assert side.call._channel.sequence.outstanding == 0


def test_acks_of_a_watched_call_are_left_to_the_engine(sides: tuple[Side, Side]) -> None:
    """Who debugs a link wants to see them."""
    _, side = sides
    voice = side.call.voice
    assert voice is not None
    voice.sequence = None
    side.peer.acknowledges = True
    side.call.send_cng(side.peer.now)
    side.peer.take()
    assert side.peer.taken["left"] == 1
