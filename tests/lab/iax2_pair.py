"""Two IAX2 endpoints of which one calls the other, on a wire in virtual time."""

from dataclasses import dataclass
from random import Random
from typing import Final

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
from tests.lab.iax2_wire import FAR, Wire

SECRET: Final = b"a secret of two endpoints"
USERNAME: Final = "branch-7"
EXTENSION: Final = "enc"


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
class Pair(Wire[Sent, Event]):
    """`near` places calls, `far` takes them; what `swallow` returns True for is lost."""

    secret: bytes = SECRET
    far_secrets: tuple[bytes, ...] = (SECRET,)

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

    def sent_by(self, side: Address) -> list[bytes]:
        """Return the datagrams that a side sent, in order."""
        return [sent.data for sent in self.wire if sent.source == side]

    def read(self, source: Address, data: bytes) -> Sent:
        """See Wire."""
        return Sent(self.now, source, data)

    def poll(self, endpoint: Endpoint) -> Event | None:
        """See Wire."""
        return endpoint.poll_event()
