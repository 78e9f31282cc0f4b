"""What a call from a link is given: its phones' legs, and what it shares with all other calls."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bridge.bridging.phone_side import CallTimes, HoldSource, nothing_on_hold
from bridge.bridging.services import TalkingLeg
from bridge.dialing.delivery import Target
from bridge.iax2 import Format
from bridge.media.sources import Source
from bridge.sip.leg import MakeOffer

if TYPE_CHECKING:
    from bridge.bridging.inbound_call import InboundCall
    from bridge.bridging.transfer_services import TransferServices


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
        transfers: What transfers use.
        hold_source: What the far end hears while a phone holds.
    """

    clock: Callable[[], float]
    uniform: Callable[[float, float], float]
    tone: Callable[[int, Format], Source | None]
    find_phone: Callable[[str, str], tuple[Target, ...] | None]
    call_phone: Callable[[Target, "InboundCall", MakeOffer], TalkingLeg]
    media_address: str | None
    times: CallTimes
    drain: Callable[[], None]
    transfers: "TransferServices"
    hold_source: HoldSource = nothing_on_hold
