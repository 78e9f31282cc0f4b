"""Two IAX2 endpoints joined without loss or delay, in virtual time, with all that passed between.

Owns time, the wire between the two and what their driver was told. A test may look at each
datagram before it arrives, and swallow it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Final, TypeVar

from bridge.iax2 import (
    Address,
    Call,
    CalleeCall,
    CallProfile,
    ChallengeMemory,
    Endpoint,
    Event,
    Format,
    IncomingCall,
    User,
)

NEAR: Final[Address] = ("192.0.2.1", 4569)
FAR: Final[Address] = ("192.0.2.2", 4569)
SECRET: Final = b"a secret of two endpoints"
USERNAME: Final = "branch-7"
EXTENSION: Final = "enc"
START: Final = 1000.0

_EventType = TypeVar("_EventType", bound=Event)


@dataclass(frozen=True, slots=True)
class Sent:
    """A datagram on the wire; `at` is when it was sent."""

    at: float
    source: Address
    data: bytes


def call_profile(
    secret: bytes = SECRET,
    *,
    formats: tuple[Format, ...] = (Format.ULAW, Format.ALAW),
    challenges: ChallengeMemory | None = None,
    setup_timeout_s: float = 8.0,
    rekey_s: float | None = None,
    first_timestamp_ms: int = 0,
) -> CallProfile:
    """Return the profile of a link, with a memory of challenges of its own by default."""
    return CallProfile(
        USERNAME,
        secret,
        EXTENSION,
        formats,
        challenges or ChallengeMemory(Random(1).randbytes),
        setup_timeout_s=setup_timeout_s,
        rekey_s=rekey_s,
        first_timestamp_ms=first_timestamp_ms,
    )


@dataclass(slots=True)
class Pair:
    """`near` places calls, `far` takes them; what `swallow` returns True for is lost."""

    secret: bytes = SECRET
    far_secrets: tuple[bytes, ...] = (SECRET,)
    now: float = START
    wire: list[Sent] = field(default_factory=list)
    events: dict[Address, list[Event]] = field(default_factory=lambda: {NEAR: [], FAR: []})
    swallow: Callable[[Sent], bool] = lambda _sent: False
    near: Endpoint = field(init=False)
    far: Endpoint = field(init=False)

    def __post_init__(self) -> None:
        self.near = Endpoint(entropy=Random(2).randbytes)
        self.far = Endpoint([User(USERNAME, self.far_secrets)], entropy=Random(3).randbytes)

    def place(self, profile: CallProfile | None = None) -> Call:
        """Place a call from near to far, as far as it goes without a decision."""
        call = self.near.place_call(profile or call_profile(self.secret), FAR, self.now)
        self.exchange()
        return call

    def answered(self, profile: CallProfile | None = None) -> tuple[Call, CalleeCall]:
        """Place a call and answer it; return both its legs."""
        call = self.place(profile)
        far_call = self.told(FAR, IncomingCall)[-1].call
        assert isinstance(far_call, CalleeCall)
        far_call.accept(Format.ULAW, self.now)
        far_call.answer(self.now)
        self.exchange()
        return call, far_call

    def told(self, side: Address, kind: type[_EventType]) -> list[_EventType]:
        """Return what a side was told of one kind, in order."""
        return [event for event in self.events[side] if isinstance(event, kind)]

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

    def sent_by(self, side: Address) -> list[bytes]:
        """Return the datagrams that a side sent, in order."""
        return [sent.data for sent in self.wire if sent.source == side]

    def _carry(self, sender: Endpoint, source: Address, receiver: Endpoint) -> bool:
        carried = False
        while (transmit := sender.poll_transmit()) is not None:
            sent = Sent(self.now, source, transmit.data)
            self.wire.append(sent)
            carried = True
            if not self.swallow(sent):
                receiver.receive_datagram(transmit.data, source, self.now)
        while (event := sender.poll_event()) is not None:
            self.events[source].append(event)
        return carried

    def _next_timeout(self) -> float | None:
        timeouts = (self.near.next_timeout(), self.far.next_timeout())
        return min((timeout for timeout in timeouts if timeout is not None), default=None)
