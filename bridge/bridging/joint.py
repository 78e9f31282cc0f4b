"""Two calls of links made one: the phone that has both leaves them to each other.

No SIP is left then. What each call takes for its phone is the other call, whose audio comes as RTP
over the loopback interface; so each link keeps its clock, its slots and its codec, keys pressed at
one far end reach the other, and the hot path knows nothing of it.
"""

from collections.abc import Callable
from typing import Final

import structlog

from bridge.bridging.negotiation import encodings
from bridge.bridging.phones import REQUEST_TERMINATED
from bridge.bridging.transfer_services import Transferable, TransferRefusedError, TransferServices
from bridge.errors import BridgeError
from bridge.iax2 import Cause
from bridge.media.ports import PortPair
from bridge.sip.leg import SipLeg
from bridge.sip.sdes import KeyExchange, Srtp
from bridge.sip.sdp import AudioDescription, LocalMedia, parse_sdp_untrusted
from bridge.sip.sdp_writing import write_sdp

_LOOPBACK: Final = "127.0.0.1"
_OK: Final = 200
_FORBIDDEN: Final = 403
_NO_SUCH_CALL: Final = 481
_NOT_ACCEPTABLE_HERE: Final = 488
_UNAVAILABLE: Final = 503
_log = structlog.get_logger(__name__)

Calls = tuple[Transferable, Transferable]


class JointEnd:
    """What a call takes for its phone's leg; `remote` describes the audio of `other`."""

    source = (_LOOPBACK, 0)
    local_host = _LOOPBACK
    srtp = Srtp.OFF

    def __init__(self, remote: AudioDescription, other: Transferable) -> None:
        self.remote = remote
        self.other = other
        self.opposite = self

    def end(
        self,
        _status: int,
        _reason: str = "",
        *,
        retry_after_s: int | None = None,  # noqa: ARG002 - as every leg's
        q850: int | None = None,
    ) -> None:
        """The call is over, and with it the other one."""
        self.other.on_ended(self.opposite, _OK, "", q850)


def check_joinable(calls: Calls) -> str:
    """Return the encoding that both calls can speak.

    Raises:
        TransferRefusedError: they are not both up, not both of one phone, or share no codec.
    """
    legs = [call.phone_leg for call in calls]
    if legs[0] is None or legs[1] is None or legs[0] is legs[1]:
        raise TransferRefusedError(_NO_SUCH_CALL, "the calls are not both up")
    if not calls[1].transfers.is_idle:
        raise TransferRefusedError(_NO_SUCH_CALL, "the other call is being transferred")
    if not _is_same_phone(legs[0], legs[1]):
        raise TransferRefusedError(_FORBIDDEN, "the other call is another phone's")
    theirs = encodings(calls[1].formats)
    for encoding in encodings(calls[0].formats):
        if encoding in theirs:
            return encoding
    raise TransferRefusedError(_NOT_ACCEPTABLE_HERE, "the links' calls have no codec in common")


def _is_same_phone(one: SipLeg, other: SipLeg) -> bool:
    """Whether both legs are one phone's; who was called has not proved who it is."""
    users = {one.user, other.user} - {""}
    return one.source[0] == other.source[0] and len(users) <= 1


def join_calls(calls: Calls, services: TransferServices, tell: Callable[[int], None]) -> None:
    """Let both calls talk with each other, and end their phone's legs; `tell` gets the outcome."""
    try:
        encoding = check_joinable(calls)
        ports = _open_ports(services)
    except TransferRefusedError as refusal:
        tell(refusal.status)
        return
    except BridgeError:
        tell(_UNAVAILABLE)
        return
    tell(_OK)
    first, second = calls
    ends = (
        JointEnd(_described(ports[1], encoding), second),
        JointEnd(_described(ports[0], encoding), first),
    )
    ends[0].opposite, ends[1].opposite = ends[1], ends[0]
    for call, pair, end in zip(calls, ports, ends, strict=True):
        _log.info("left to the other call of its phone", link=call.link.name)
        if (leg := call.phone_leg) is not None:
            leg.hand_to(None)
            leg.end(REQUEST_TERMINATED, q850=Cause.NORMAL_CLEARING)
        services.move(call.media, pair)
        call.take_phone(end, KeyExchange(), may_be_quiet=True)


def _open_ports(services: TransferServices) -> tuple[PortPair, PortPair]:
    first = services.open_ports(_LOOPBACK)
    try:
        return first, services.open_ports(_LOOPBACK)
    except BridgeError:
        services.close_ports(first)
        raise


def _described(ports: PortPair, encoding: str) -> AudioDescription:
    local = LocalMedia(_LOOPBACK, ports.rtp_port, (encoding,))
    return parse_sdp_untrusted(write_sdp(None, local, 1, 1), Srtp.OFF)
