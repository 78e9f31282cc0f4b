"""What transfers need of the rest: whom a REFER may name, ports, SIP calls and other calls."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from bridge.bridging.link import Link
from bridge.bridging.services import TalkingLeg
from bridge.errors import BridgeError
from bridge.iax2 import Format
from bridge.media.call_media import CallMedia
from bridge.media.ports import PortPair
from bridge.media.sources import Source
from bridge.sip.admission import Headers
from bridge.sip.leg import LegHandler, MakeOffer, SipLeg
from bridge.sip.refer import Refer
from bridge.sip.sdes import KeyExchange

if TYPE_CHECKING:
    from bridge.bridging.transfer import Transfer, Transfers


class TransferRefusedError(BridgeError):
    """A transfer that does not begin, with the status that its REFER gets."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Transferable(LegHandler, Protocol):
    """A call whose phone can be another one."""

    link: Link
    media: CallMedia
    caller: str | None
    transfers: "Transfers"

    @property
    def formats(self) -> tuple[Format, ...]:
        """The link's codec."""

    @property
    def phone_leg(self) -> SipLeg | None:
        """The phone's leg while both sides talk; None before and after, and where it is none."""

    def take_phone(self, leg: TalkingLeg, keys: KeyExchange, *, may_be_quiet: bool = False) -> None:
        """Go on with another phone, whose audio has a codec of `formats`.

        One that `may_be_quiet` is not missed when it sends none.
        """

    def on_ended(self, leg: TalkingLeg, status: int, reason: str, q850: int | None) -> None:
        """Take the end of the phone's leg, or of what stands in its place."""


@dataclass(frozen=True, slots=True)
class TransferServices:
    """What every transfer uses.

    Attributes:
        clock: Returns now in seconds.
        tone: Makes the tone that stands for a CONTROL subclass in a format, None where none does.
        find_phone: From a REFER and a link to the SIP URIs of the phone that it names. Raises
            TransferRefusedError where it names none.
        call_phone: Places a SIP call for a transfer, with headers; it is told how to offer media.
            Raises BridgeError where that is not possible.
        find_call: From the Call-ID of a phone's leg to the call that it has.
        open_ports: Binds ports on an address of ours. Raises BridgeError.
        close_ports: Gives them back.
        move: Lets a call's audio toward its phone pass through such ports.
    """

    clock: Callable[[], float]
    tone: Callable[[int, Format], Source | None]
    find_phone: Callable[[Refer, str], tuple[str, ...]]
    call_phone: Callable[[str, "Transfer", MakeOffer, Headers], SipLeg]
    find_call: Callable[[str], Transferable | None]
    open_ports: Callable[[str], PortPair]
    close_ports: Callable[[PortPair], None]
    move: Callable[[CallMedia, PortPair], None]
