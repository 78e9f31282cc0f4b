"""A link as the calls on it see it."""

from dataclasses import dataclass

from bridge.dialing.envelope import Envelope
from bridge.iax2 import Address, CallProfile, Format


@dataclass(slots=True)
class Link:
    """One site link.

    Attributes:
        name: As configured.
        profile: What all IAX2 calls of the link have in common.
        envelope: The shape of its dialing.
        answer_immediately: Whether the phone gets its 200 with the far end's answer, rather than
            after the dialing.
        address: Where the peer is; None while its name does not resolve.
    """

    name: str
    profile: CallProfile
    envelope: Envelope
    answer_immediately: bool = False
    address: Address | None = None

    @property
    def formats(self) -> tuple[Format, ...]:
        """The link's media formats in order of preference."""
        return self.profile.formats

    def move_to(self, address: Address) -> None:
        """Take the peer's address for the calls to come."""
        self.address = address
