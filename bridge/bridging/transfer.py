"""Transfer: a phone gives its call to another phone of the bridge (RFC 3515, RFC 5589).

The phone's leg sends REFER, the other phone is called at all its contacts, and the first that
answers has the call in its place: blind, or as the other end of a dialog that the two have between
them (Replaces, RFC 3891). Until then the first phone keeps the call; where it hangs up meanwhile,
the far end hears ringback. If nobody answers, it keeps the call for good.

The link sees nothing of it: its frames go on in their slots, no signal is sent, and only whose
audio is in them changes. Whom a REFER names is dialed on no link.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import structlog

from bridge.bridging.joint import check_joinable, join_calls
from bridge.bridging.negotiation import can_serve
from bridge.bridging.phone_side import PhoneSide
from bridge.bridging.phones import REQUEST_TERMINATED, PhoneLegs
from bridge.bridging.transfer_services import Transferable, TransferRefusedError, TransferServices
from bridge.errors import BridgeError
from bridge.iax2 import Cause, ControlSubclass
from bridge.media.ports import PortPair
from bridge.sip.admission import Headers
from bridge.sip.leg import SipLeg
from bridge.sip.refer import Refer, ReferAnswer, notice
from bridge.sip.sdes import KeyExchange, Srtp
from bridge.sip.sdp import AudioDescription, LocalMedia

TRANSFERS_MAX: Final = 8
"""How many transfers of one call may begin, failed ones included."""
RING_S: Final = 30.0

_TRYING: Final = 100
_RINGING: Final = 180
_OK: Final = 200
_ACCEPTED: Final = 202
_FORBIDDEN: Final = 403
_NO_ANSWER: Final = 480
_NOT_ACCEPTABLE_HERE: Final = 488
_PENDING: Final = 491
_UNAVAILABLE: Final = 503
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Asked:
    """A REFER that is accepted: whose it is, and whom it leads to."""

    leg: SipLeg
    refer: Refer
    is_first: bool
    targets: tuple[str, ...] = field(default=(), repr=False)

    def tell(self, status: int) -> None:
        """Let the phone know how it stands."""
        if self.refer.subscribes:
            self.leg.notify(*notice(status, "" if self.is_first else self.refer.sequence))

    @property
    def headers(self) -> Headers:
        """What the INVITE says of it."""
        by = self.refer.referred_by
        referred_by = (("Referred-By", f"<{by}>"),) if by else ()
        return referred_by + (self.refer.replaces.headers if self.refer.replaces else ())


class Transfers:
    """The transfers of one call: one at a time, and a bounded number in all."""

    def __init__(self, phone: PhoneSide, services: TransferServices) -> None:
        self._phone = phone
        self._services = services
        self._begun = 0
        self._live: Transfer | None = None

    @property
    def is_idle(self) -> bool:
        """Whether no transfer is under way."""
        return self._live is None

    def refer(self, call: Transferable, leg: SipLeg, refer: Refer) -> ReferAnswer:
        """Answer a REFER of the call's phone; the status says why no transfer begins."""
        log = _log.bind(link=call.link.name)
        try:
            begin = self._accept(call, leg, refer)
        except TransferRefusedError as refusal:
            log.info("transfer refused", status=refusal.status, why=str(refusal))
            return ReferAnswer(refusal.status)
        self._begun += 1
        log.info("transfer begins", attended=refer.replaces is not None)
        return ReferAnswer(_ACCEPTED, begin)

    def _accept(self, call: Transferable, leg: SipLeg, refer: Refer) -> Callable[[], None]:
        if refer.source_host != leg.source[0]:
            raise TransferRefusedError(_FORBIDDEN, "it does not come from the call's phone")
        if leg is not call.phone_leg or self._live is not None:
            raise TransferRefusedError(_PENDING, "the call is not up, or is being transferred")
        if self._begun >= TRANSFERS_MAX:
            raise TransferRefusedError(_FORBIDDEN, "the call was transferred as often as it may be")
        is_first = not self._begun
        other = self._services.find_call(refer.replaces.call_id) if refer.replaces else None
        if other is not None:
            calls = call, other
            check_joinable(calls)
            return partial(join_calls, calls, self._services, Asked(leg, refer, is_first).tell)
        targets = self._services.find_phone(refer, call.link.name)
        if not targets:
            raise TransferRefusedError(_NO_ANSWER, "the phone has no contact that answers")
        asked = Asked(leg, refer, is_first, targets)
        self._live = Transfer(call, self._phone, asked, self._services, self._on_over)
        self._phone.look_by(self._live.until)
        return self._live.begin

    def expire(self, now: float) -> None:
        """Give up a transfer that takes too long."""
        if self._live is not None:
            self._live.expire(now)

    def end(self, cause: int) -> None:
        """Give up the transfer under way, because the call ends."""
        if self._live is not None:
            self._live.end(cause)

    def _on_over(self) -> None:
        self._live = None
        self._phone.look_by(math.inf)


@dataclass(slots=True)
class _Place:
    """What a phone that is called gets for its audio."""

    keys: KeyExchange = field(default_factory=KeyExchange)
    ports: PortPair | None = None


class Transfer:
    """One transfer; the handler of the leg that asked for it and of the legs that it leads to."""

    def __init__(
        self,
        call: Transferable,
        phone: PhoneSide,
        asked: Asked,
        services: TransferServices,
        over: Callable[[], None],
    ) -> None:
        self.link, self.caller = call.link, call.caller
        self._call = call
        self._phone = phone
        self._asked = asked
        self._services = services
        self._over = over
        self._legs = PhoneLegs()
        self._places: dict[SipLeg, _Place] = {}
        self.until = services.clock() + RING_S
        self._is_over = self._is_alone = False
        self._log = _log.bind(link=call.link.name)
        asked.leg.hand_to(self)

    def begin(self) -> None:
        """Call the phone, the REFER being answered."""
        if self._is_over:
            return
        self._asked.tell(_TRYING)
        for uri in self._asked.targets:
            self._call_phone(uri)
        if not self._legs.count:
            self._fail(_UNAVAILABLE, None)

    def _call_phone(self, uri: str) -> None:
        place = _Place()
        try:
            offer = partial(self._offer, place)
            leg = self._services.call_phone(uri, self, offer, self._asked.headers)
        except BridgeError:
            self._close(place)
            return
        self._places[leg] = place
        self._legs.add(leg, place.keys)

    def _offer(self, place: _Place, local_host: str, srtp: Srtp | None) -> LocalMedia:
        if place.ports is None:
            place.ports = self._services.open_ports(local_host)
        port = place.ports.rtp_port
        return self._phone.local(local_host, self._call.formats, place.keys, srtp, port)

    # The phones' legs

    def on_media(self, leg: SipLeg, remote: AudioDescription | None) -> LocalMedia:
        """Negotiate SDP; the audio of a phone is heard when it has answered."""
        if leg is self._asked.leg:
            return self._call.on_media(leg, remote)
        place = self._places[leg]
        if remote is None:
            return self._offer(place, leg.local_host, leg.srtp)
        place.keys.agree(remote.crypto)
        return self._offer(place, leg.local_host, None)

    def on_ringing(self, _leg: SipLeg) -> None:
        """A phone rings: the one that asked is told once."""
        if not self._is_over and self._legs.ring():
            self._asked.tell(_RINGING)

    def on_answered(self, leg: SipLeg) -> None:
        """The first phone that answers has the call."""
        if self._is_over or leg is self._asked.leg:
            return
        if leg.remote is None or not can_serve(leg.remote, self._call.formats):
            self._remove(leg, _NOT_ACCEPTABLE_HERE, None)
            leg.end(_NOT_ACCEPTABLE_HERE, q850=Cause.BEARER_CAPABILITY_NOT_AVAILABLE)
            return
        place = self._places.pop(leg)
        self._legs.answer(leg)
        self._finish()
        self._log.info("transferred")
        self._asked.tell(_OK)
        self._asked.leg.hand_to(None)
        self._asked.leg.end(REQUEST_TERMINATED, q850=Cause.NORMAL_CLEARING)
        leg.hand_to(self._call)
        if place.ports is not None:
            self._services.move(self._call.media, place.ports)
        self._call.take_phone(leg, place.keys)

    def on_digit(self, leg: SipLeg, digit: str) -> None:
        """Take a digit from SIP INFO: the phone that asked still has the call."""
        if leg is self._asked.leg:
            self._call.on_digit(leg, digit)

    def on_refer(self, _leg: SipLeg, _refer: Refer) -> ReferAnswer:
        """One transfer at a time."""
        return ReferAnswer(_PENDING)

    def on_ended(self, leg: SipLeg, status: int, _reason: str, q850: int | None) -> None:
        """A phone does not take the call; or the one that asked has hung up, and waits no more."""
        if leg is not self._asked.leg:
            self._remove(leg, status, q850)
        elif not self._is_over:
            self._is_alone = True
            (media_format,) = self._call.formats
            ringback = self._services.tone(ControlSubclass.RINGING, media_format)
            self._phone.wait(self._services.clock(), ringback)

    def _remove(self, leg: SipLeg, status: int, q850: int | None) -> None:
        place = self._places.pop(leg, None)
        if place is not None:
            self._close(place)
        self._legs.remove(leg, status, q850)
        if not self._is_over and not self._legs.count:
            self._fail(*self._legs.best_failure)

    def _close(self, place: _Place) -> None:
        if place.ports is not None:
            self._services.close_ports(place.ports)

    # The end

    def expire(self, now: float) -> None:
        """Give up where nobody answers."""
        if now >= self.until:
            self._fail(_NO_ANSWER, Cause.NO_ANSWER)

    def end(self, cause: int) -> None:
        """Give up because the call ends."""
        self._finish()
        self._legs.end(cause)
        self._asked.tell(REQUEST_TERMINATED)
        self._asked.leg.hand_to(self._call)

    def _fail(self, status: int, q850: int | None) -> None:
        """Leave the call to the phone that asked; where it is gone, the call is over."""
        self._finish()
        self._legs.end(q850 or Cause.NORMAL_CLEARING)
        self._log.info("nobody takes the transferred call", status=status)
        self._asked.tell(status)
        self._asked.leg.hand_to(self._call)
        if self._is_alone:
            self._call.on_ended(self._asked.leg, status, "", q850)

    def _finish(self) -> None:
        self._is_over = True
        self._over()
