"""What transfers use, in virtual time: the phones that are called, ports, and who is known."""

from collections.abc import Callable
from socket import AF_INET, AF_INET6
from types import SimpleNamespace
from typing import Any, cast

from bridge.bridging.switchboard import LiveCall
from bridge.bridging.tones import tones_of
from bridge.bridging.transfer import Transfer
from bridge.bridging.transfer_services import TransferRefusedError, TransferServices
from bridge.errors import BridgeError
from bridge.media.call_media import CallMedia
from bridge.media.ports import PortPair
from bridge.sip.admission import Headers
from bridge.sip.leg import MakeOffer, SipLeg
from bridge.sip.refer import Refer, Replaces
from bridge.sip.sdes import Srtp
from tests.lab.bridged_phone import PHONE_HOST, CalledPhone, Story

TARGET = "sip:202@192.0.2.20:5060"
FIRST_PORT = 21000


class TransferDesk:
    """The phones of one stage that calls can be given to.

    Attributes:
        targets: The contacts of a phone, by its name.
        phones: Those that were called.
        open_ports: The RTP ports that no call has moved to, and that are not given back.
        moved: The ports that calls have moved to.
    """

    def __init__(
        self, clock: Callable[[], float], story: Story, find: Callable[[str], LiveCall | None]
    ) -> None:
        self.targets: dict[str, tuple[str, ...]] = {"202": (TARGET,), "absent": ()}
        self.phones: list[CalledPhone] = []
        self.open_ports: set[int] = set()
        self.moved: list[int] = []
        self.ports_left = 100
        self.srtp = Srtp.OFF
        self.unreachable: set[str] = set()
        self._story = story
        self.services = TransferServices(
            clock=clock,
            tone=tones_of("us"),
            find_phone=self._find,
            call_phone=self._call,
            find_call=find,
            open_ports=self._open,
            close_ports=self._close,
            move=self._move,
        )

    @property
    def phone(self) -> CalledPhone:
        """The one phone that was called."""
        (only,) = self.phones
        return only

    def _find(self, refer: Refer, _link: str) -> tuple[str, ...]:
        if refer.user not in self.targets:
            raise TransferRefusedError(404, "no phone has that name or number")
        return self.targets[refer.user]

    def _call(self, uri: str, transfer: Transfer, offer: MakeOffer, headers: Headers) -> SipLeg:
        if uri in self.unreachable:
            offer("192.0.2.3", self.srtp)
            raise BridgeError("the SIP URI cannot be reached")
        phone = CalledPhone(uri, offer("192.0.2.3", self.srtp), self._story, headers)
        phone.leg.srtp = self.srtp
        phone.leg.begin(transfer)
        phone.leg.on_ringing = transfer.on_ringing
        self.phones.append(phone)
        return phone.leg

    def _open(self, local_host: str) -> PortPair:
        if not self.ports_left:
            raise BridgeError("no ports")
        self.ports_left -= 1
        rtp_port = FIRST_PORT + 2 * self.ports_left
        self.open_ports.add(rtp_port)
        unbound = SimpleNamespace(family=AF_INET6 if ":" in local_host else AF_INET)
        return PortPair(cast("Any", unbound), cast("Any", None), rtp_port)

    def _close(self, ports: PortPair) -> None:
        self.open_ports.remove(ports.rtp_port)

    def _move(self, media: CallMedia, ports: PortPair) -> None:
        self.open_ports.remove(ports.rtp_port)
        self.moved.append(ports.rtp_port)
        media.ports = ports
        media.rtp_port = ports.rtp_port


def refer_to(
    user: str = "202",
    *,
    replaces: str = "",
    source_host: str = PHONE_HOST,
    subscribes: bool = True,
    sequence: str = "3",
    referred_by: str = "",
) -> Refer:
    """A REFER of the stage's phone, as it was read."""
    dialog = Replaces(replaces, "one", "two") if replaces else None
    place, own = ("192.0.2.1", 5060), "192.0.2.1"
    return Refer(user, place, own, source_host, dialog, referred_by, subscribes, sequence)


def ask(leg: SipLeg, refer: Refer) -> int:
    """Let a phone send a REFER, and let begin what it leads to; return its status."""
    answer = leg.referred(refer)
    assert (answer.status == 202) is (answer.begin is not None)
    if answer.begin is not None:
        answer.begin()
    return answer.status


def told(notices: list[tuple[Headers, str]]) -> list[int]:
    """The statuses that a phone got by NOTIFY."""
    return [int(body.split()[1]) for _, body in notices]
