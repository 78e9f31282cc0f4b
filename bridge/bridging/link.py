"""A link as the calls on it see it."""

from collections.abc import Callable
from dataclasses import dataclass

from bridge.dialing.caller import CallerFormat
from bridge.dialing.collector import CollectionLimits
from bridge.dialing.envelope import Envelope, draw_tail_slots
from bridge.iax2 import (
    Address,
    Binding,
    CallProfile,
    Format,
    Qualification,
    Qualifier,
    Reachability,
    RegistrantSeen,
    Registration,
    RegistrationSeen,
)


@dataclass(frozen=True, slots=True)
class Acceptance:
    """How a link takes calls of its peer.

    Attributes:
        username: The name that the peer calls with.
        limits: When the digits of such a call are a number.
        ring_s: How long a phone rings.
        caller_format: How the digits hold the caller, too; None: they are the number alone.
    """

    username: str
    limits: CollectionLimits
    ring_s: float
    caller_format: CallerFormat | None = None

    def read(self, digits: str) -> tuple[str | None, str] | None:
        """Return who calls and the number from the digits of a call; None: they hold none.

        Who calls is None where that is not told, and empty where it is withheld.
        """
        if self.caller_format is None:
            return None, digits
        dialed = self.caller_format.split(digits)
        called_max = self.limits.digits_max - self.caller_format.room
        return dialed if dialed and 0 < len(dialed[1]) <= called_max else None


@dataclass(slots=True)
class Link:
    """One site link.

    Attributes:
        name: As configured.
        profile: What all IAX2 calls of the link have in common.
        envelope: The shape of its dialing.
        answer_immediately: Whether the phone gets its 200 with the far end's answer, rather than
            after the dialing.
        answer_with_far_end: Whether, of a peer that is a bridge, the phone gets what the far phone
            does: it rings, is busy, answers.
        tail: Whether silence of a random length comes before each HANGUP.
        in_call_digits: Whether keys that are pressed in the call are sent.
        calls_max: How many calls it has at a time, in both directions; None: no matter.
        acceptance: How it takes calls of its peer; None: not at all.
        address: Where the peer is; None while its name does not resolve, or it has not registered.
        qualifier: Finds whether the peer answers; None where it is not to be asked.
        peer_rotates: Whether the peer was seen to change its key within a call, to ones that may be
            weak (Asterisk's are).
        registration: Ours with the peer; None where we do not register.
        binding: The peer's with us; None where it does not register.
    """

    name: str
    profile: CallProfile
    envelope: Envelope
    answer_immediately: bool = False
    answer_with_far_end: bool = False
    tail: bool = False
    in_call_digits: bool = True
    calls_max: int | None = None
    acceptance: Acceptance | None = None
    address: Address | None = None
    qualifier: Qualifier | None = None
    registration: Registration | None = None
    binding: Binding | None = None
    peer_rotates: bool = False

    @property
    def formats(self) -> tuple[Format, ...]:
        """The link's media formats in order of preference."""
        return self.profile.formats

    def tail_slots(self, uniform: Callable[[float, float], float]) -> int:
        """Draw how many slots pass before HANGUP."""
        return draw_tail_slots(uniform) if self.tail else 0

    @property
    def qualification(self) -> Qualification | None:
        """What is known of the peer's reachability; None where it is not asked."""
        return self.qualifier.seen if self.qualifier else None

    @property
    def registration_seen(self) -> RegistrationSeen | None:
        """How our registration with the peer stands; None where we do not register."""
        return self.registration.seen if self.registration else None

    @property
    def registrant_seen(self) -> RegistrantSeen | None:
        """Where the peer has registered with us; None where its address is configured."""
        return self.binding.seen if self.binding else None

    @property
    def is_unreachable(self) -> bool:
        """Whether the peer did not answer when it was asked last."""
        seen = self.qualification
        return seen is not None and seen.reachability is Reachability.UNREACHABLE

    def move_to(self, address: Address | None) -> None:
        """Take the peer's address for the calls to come, or that it has none."""
        self.address = address
