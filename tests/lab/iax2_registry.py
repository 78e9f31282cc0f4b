"""Two endpoints of which one registers with the other, on a wire in virtual time."""

from dataclasses import dataclass, field
from random import Random
from typing import Final

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
from tests.lab.iax2_wire import FAR, NEAR, START, Wire

REGISTER_NAME: Final = "branch-7-here"
REGISTER_SECRET: Final = b"a secret of a registration"


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
class Registry(Wire[Passed, PeerEvent]):
    """`near` registers with `far`; what `swallow` returns True for is lost."""

    secret: bytes = REGISTER_SECRET
    username: str = REGISTER_NAME
    refresh_s: int = 60
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

    def read(self, source: Address, data: bytes) -> Passed:
        """See Wire."""
        frame = parse_frame_untrusted(data)
        assert isinstance(frame, FullFrame)
        return Passed(self.now, source, frame)

    def poll(self, endpoint: Endpoint) -> PeerEvent | None:
        """See Wire."""
        return endpoint.peers.poll_event()
