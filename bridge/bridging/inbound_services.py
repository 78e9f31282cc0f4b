"""What a call from a link is given: its phones' legs, and what it shares with all other calls."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from bridge.bridging.phone_side import CallTimes, HoldSource, nothing_on_hold
from bridge.dialing.delivery import Target
from bridge.iax2 import Format
from bridge.media.sources import Source
from bridge.sip.leg import MakeOffer
from bridge.sip.sdes import Srtp
from bridge.sip.sdp import AudioDescription

if TYPE_CHECKING:
    from bridge.bridging.inbound_call import InboundCall


class OutgoingLeg(Protocol):
    """What a call from a link needs of each SIP leg that it leads to."""

    @property
    def source(self) -> tuple[str, int]:
        """Where the phone is."""

    @property
    def local_host(self) -> str:
        """Our address that the phone reaches."""

    @property
    def srtp(self) -> Srtp:
        """Whether its audio is encrypted."""

    @property
    def remote(self) -> AudioDescription | None:
        """What the phone said last of its media."""

    def end(
        self,
        status: int,
        reason: str = "",
        *,
        retry_after_s: int | None = None,
        q850: int | None = None,
    ) -> None:
        """Cancel or hang up, as its state asks."""


@dataclass(frozen=True, slots=True)
class InboundServices:
    """What every call from a link uses.

    Attributes:
        clock: Returns now in seconds.
        uniform: Draws a random number from a range.
        tone: Makes the tone that stands for a CONTROL subclass in a format, None where none does.
        find_phone: From number and link to whom to call; None: nobody has this number.
        call_phone: Places a SIP call for the call given; it is told how to offer media from an
            address of ours, with or without SRTP. Raises BridgeError where that is not possible.
        media_address: Our address for SDP where it is not the one that the phone reaches.
        times: How long a call may go on.
        drain: Called after anything was sent on the link.
        hold_source: What the far end hears while a phone holds.
    """

    clock: Callable[[], float]
    uniform: Callable[[float, float], float]
    tone: Callable[[int, Format], Source | None]
    find_phone: Callable[[str, str], tuple[Target, ...] | None]
    call_phone: Callable[[Target, "InboundCall", MakeOffer], OutgoingLeg]
    media_address: str | None
    times: CallTimes
    drain: Callable[[], None]
    hold_source: HoldSource = nothing_on_hold
