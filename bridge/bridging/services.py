"""What a call is given, whoever places it: its phone's leg, and what it shares with all others."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from bridge.bridging.phone_side import CallTimes, HoldSource, nothing_on_hold
from bridge.dialing.delivery import Target
from bridge.iax2 import Call, Format
from bridge.media.sources import Source
from bridge.sip.leg import MakeOffer
from bridge.sip.sdes import Srtp
from bridge.sip.sdp import AudioDescription, LocalMedia

if TYPE_CHECKING:
    from bridge.bridging.call import BridgedCall
    from bridge.bridging.inbound_call import InboundCall
    from bridge.bridging.transfer_services import TransferServices


class TalkingLeg(Protocol):
    """What a call needs of the leg of its phone, whoever of both began it."""

    @property
    def source(self) -> tuple[str, int]:
        """Where the phone's SIP comes from, or goes to."""

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
        """Refuse, cancel or hang up, as its state asks."""


class PhoneLeg(TalkingLeg, Protocol):
    """What a bridged call needs of the leg that its phone has placed."""

    def ringing(self) -> None:
        """Send 180."""

    def progress(self, local: LocalMedia | None = None) -> None:
        """Send 183 with SDP."""

    def answer(self, local: LocalMedia | None = None) -> None:
        """Send 200."""


@dataclass(frozen=True, slots=True)
class CallServices:
    """What every call uses.

    Attributes:
        clock: Returns now in seconds.
        uniform: Draws a random number from a range.
        place: Places an IAX2 call on a link, for the phone's call given.
        find_phone: From number and link to whom to call; None: nobody has this number.
        call_phone: Places a SIP call for the link's call given; it is told how to offer media from
            an address of ours, with or without SRTP. Raises BridgeError where that is not possible.
        tone: Makes the tone that stands for a CONTROL subclass in a format, None where none does.
        media_address: Our address for SDP where it is not the one that the phone reaches.
        times: How long a call may go on.
        drain: Called after anything was sent on the link.
        transfers: What transfers use.
        hold_source: What the far end hears while a phone holds.
        in_band_digits: Whether digits are heard in a phone's audio.
    """

    clock: Callable[[], float]
    uniform: Callable[[float, float], float]
    place: Callable[["BridgedCall"], Call]
    find_phone: Callable[[str, str], tuple[Target, ...] | None]
    call_phone: Callable[[Target, "InboundCall", MakeOffer], TalkingLeg]
    tone: Callable[[int, Format], Source | None]
    media_address: str | None
    times: CallTimes
    drain: Callable[[], None]
    transfers: "TransferServices"
    hold_source: HoldSource = nothing_on_hold
    in_band_digits: bool = False
