"""Two endpoints of which one registers with the other, in virtual time, over a wire with loss."""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Final, TypeVar

from bridge.iax2 import (
    Address,
    Endpoint,
    PeerEvent,
    Registrant,
    Registration,
    RegistrationProfile,
)
from bridge.iax2.constants import IaxSubclass
from bridge.iax2.frames import FullFrame, parse_frame_untrusted
from tests.lab.iax2_pair import FAR, NEAR, START

REGISTER_NAME: Final = "branch-7-here"
REGISTER_SECRET: Final = b"a secret of a registration"

_EventType = TypeVar("_EventType", bound=PeerEvent)


@dataclass(frozen=True, slots=True)
class Passed:
    """A frame on the wire."""

    at: float
    source: Address
    frame: FullFrame

    @property
    def subclass(self) -> IaxSubclass:
        """What it is; all frames of registrations are IAX frames."""
        return IaxSubclass(self.frame.subclass)


@dataclass(slots=True)
class Registry:
    """`near` registers with `far`; what `swallow` returns True for is lost."""

    secret: bytes = REGISTER_SECRET
    username: str = REGISTER_NAME
    refresh_s: int = 60
    now: float = START
    wire: list[Passed] = field(default_factory=list)
    events: dict[Address, list[PeerEvent]] = field(default_factory=lambda: {NEAR: [], FAR: []})
    swallow: Callable[[Passed], bool] = lambda _passed: False
    near: Endpoint = field(init=False)
    far: Endpoint = field(init=False)
    registration: Registration = field(init=False)

    def __post_init__(self) -> None:
        self.near = Endpoint(entropy=Random(2).randbytes)
        self.start_far()
        profile = RegistrationProfile(self.username, self.secret, self.refresh_s)
        self.registration = self.near.peers.register("hq", profile)

    def start_far(self) -> None:
        """Start the far end, anew where it ran."""
        registrant = Registrant("branch", REGISTER_NAME, REGISTER_SECRET)
        self.far = Endpoint(entropy=Random(self.now).randbytes, registrants=[registrant])

    def begin(self) -> "Registry":
        """Let near know where far is."""
        self.registration.move_to(FAR, self.now)
        self.exchange()
        return self

    def told(self, side: Address, kind: type[_EventType]) -> list[_EventType]:
        """Return what a side was told of one kind, in order."""
        return [event for event in self.events[side] if isinstance(event, kind)]

    def passed(self) -> list[IaxSubclass]:
        """Return what passed, in order."""
        return [passed.subclass for passed in self.wire]

    def tried_at(self) -> list[float]:
        """Return when near began to register, in seconds from the start."""
        first = [p for p in self.wire if p.source == NEAR and not p.frame.retransmission]
        asked = (IaxSubclass.REGREQ, IaxSubclass.REGREL)
        begun = [p for p in first if p.subclass in asked and not p.frame.iseqno]
        numbers = dict.fromkeys(p.frame.source_call_number for p in begun)
        return [
            round(next(p.at for p in begun if p.frame.source_call_number == number) - START, 3)
            for number in numbers
        ]

    def exchange(self) -> None:
        """Carry datagrams until neither side has anything to say."""
        while self._carry(self.near, NEAR, self.far) or self._carry(self.far, FAR, self.near):
            pass

    def elapse(self, seconds: float) -> None:
        """Let time pass: each deadline is served at its time."""
        end = self.now + seconds
        self.exchange()
        while (due := self._next_timeout()) is not None and due <= end:
            self.now = max(due, self.now)
            self.near.handle_timeout(self.now)
            self.far.handle_timeout(self.now)
            self.exchange()
        self.now = end

    def _carry(self, sender: Endpoint, source: Address, receiver: Endpoint) -> bool:
        carried = False
        while (transmit := sender.poll_transmit()) is not None:
            frame = parse_frame_untrusted(transmit.data)
            assert isinstance(frame, FullFrame)
            passed = Passed(self.now, source, frame)
            self.wire.append(passed)
            carried = True
            if not self.swallow(passed):
                receiver.receive_datagram(transmit.data, source, self.now)
        while (event := sender.peers.poll_event()) is not None:
            self.events[source].append(event)
        return carried

    def _next_timeout(self) -> float | None:
        timeouts = (self.near.next_timeout(), self.far.next_timeout())
        return min((timeout for timeout in timeouts if timeout is not None), default=None)
