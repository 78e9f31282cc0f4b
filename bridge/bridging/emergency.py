"""Emergency calls: a phone's call that goes to a SIP trunk at once, in clear, and over no link.

Owns both SIP legs and the media between them: the trunk is called, and the phone gets what the
trunk answers. No limit refuses such a call, and none ends it: only who hangs up does.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

import structlog

from bridge.bridging.causes import RETRY_AFTER_S, cause_of_sip
from bridge.bridging.negotiation import can_serve
from bridge.bridging.phone_side import CallTimes, HoldSource, PhoneSide, nothing_on_hold
from bridge.bridging.services import TalkingLeg
from bridge.bridging.switchboard import IncomingLeg
from bridge.dialing.delivery import TrunkNumber, trunk_number
from bridge.dialing.plan import DialPlan
from bridge.errors import BridgeError
from bridge.iax2 import Cause, Format
from bridge.media.call_media import CallMedia
from bridge.media.crossing import cross
from bridge.sip.leg import MakeOffer
from bridge.sip.refer import Refer, ReferAnswer
from bridge.sip.sdes import KeyExchange, Srtp
from bridge.sip.sdp import AudioDescription, LocalMedia

FORMATS: Final = (Format.ULAW, Format.ALAW, Format.G722, Format.GSM, Format.G729)
"""What the trunk is offered of what the phone offers."""
FORMATS_UNASKED: Final = FORMATS[:2]
"""What both are offered where the phone leaves the offer to us."""

_REFUSALS: Final = range(400, 700)
_UNAVAILABLE: Final = 503
_NOT_ACCEPTABLE_HERE: Final = 488
_SERVER_ERROR: Final = 500
_ENDED: Final = 487
_DECLINE: Final = 603
_OURS_TO_MEND: Final = frozenset({401, 407})
"""The trunk does not take our password: to the phone it is unavailable."""
_log = structlog.get_logger(__name__)


class Phase(Enum):
    """How far an emergency call has come."""

    CALLING = auto()
    TALKING = auto()
    OVER = auto()


@dataclass(frozen=True, slots=True)
class EmergencyServices:
    """What every emergency call uses.

    Attributes:
        clock: Returns now in seconds.
        call: Calls a number on a trunk for the call given; it is told how to offer media. Raises
            BridgeError where that is not possible.
        open_media: Binds RTP ports on an address of ours; raises BridgeError without any left.
        media_address: Our address for SDP where it is not the one that is reached.
        times: As PhoneSide takes them; no emergency call is held against them.
        hold_source: What the trunk hears while the phone holds.
    """

    clock: Callable[[], float]
    call: Callable[[TrunkNumber, "EmergencyCall", MakeOffer], TalkingLeg]
    open_media: Callable[[str], CallMedia]
    media_address: str | None
    times: CallTimes
    hold_source: HoldSource = nothing_on_hold


class _Side:
    """The media of one leg, and what is agreed with whoever is there."""

    def __init__(self, services: EmergencyServices, local_host: str) -> None:
        self.media = services.open_media(local_host)
        self.phone = PhoneSide(self.media, services)
        self.keys = KeyExchange()
        self.remote: AudioDescription | None = None


class EmergencyCall:
    """One call; the handler of both its legs.

    Raises:
        BridgeError: no RTP ports are left.
    """

    def __init__(
        self,
        services: EmergencyServices,
        leg: IncomingLeg,
        over: Callable[["EmergencyCall"], None],
    ) -> None:
        self.phase = Phase.CALLING
        self._formats = FORMATS_UNASKED if leg.offer is None else formats_of(leg.offer)
        self._services = services
        self._leg = leg
        self._over = over
        self._near = _Side(services, leg.local_host)
        self._far: _Side | None = None
        self._trunk: TalkingLeg | None = None
        self._near.media.on_digit = self._on_phone_digit

    def __repr__(self) -> str:
        return f"<EmergencyCall {self.phase.name}>"

    def start(self, target: TrunkNumber) -> None:
        """Call the trunk.

        Raises:
            BridgeError: it cannot be called; all is closed then.
        """
        try:
            self._trunk = self._services.call(target, self, self._offer)
        except BridgeError:
            self._finish()
            raise
        _log.info("emergency call placed")

    def uses(self, media: CallMedia) -> bool:
        """Tell whether this is the media of one of its legs."""
        return media in [side.media for side in self._sides]

    @property
    def _sides(self) -> tuple[_Side, ...]:
        return (self._near,) if self._far is None else (self._near, self._far)

    # Media

    def _offer(self, local_host: str, srtp: Srtp) -> LocalMedia:
        far = self._far = _Side(self._services, local_host)
        far.media.on_digit = self._on_trunk_digit
        return far.phone.local(local_host, self._formats, far.keys, srtp)

    def on_media(self, leg: TalkingLeg, remote: AudioDescription | None) -> LocalMedia:
        """Negotiate SDP with either side: its offer or answer; None where we offer first."""
        side = self._near if leg is self._leg or self._far is None else self._far
        if remote is not None and self._agree(side, leg, remote) and side is self._far:
            self._connect()
        srtp = leg.srtp if remote is None else None
        return side.phone.local(leg.local_host, self._formats, side.keys, srtp)

    def _agree(self, side: _Side, leg: TalkingLeg, remote: AudioDescription) -> bool:
        now = self._services.clock()
        agreed = side.phone.agree(remote, self._formats, leg.source[0], side.keys, now)
        if agreed:
            side.remote = remote
        return agreed

    def _connect(self) -> None:
        """Let both hear each other in the trunk's codec, from its first answer on."""
        near, far = self._near, self._far
        if far is None or far.media.format is None or far.media.path is not None:
            return
        self._formats = (far.media.format,)
        if near.remote is not None:
            self._agree(near, self._leg, near.remote)
        cross(near.media, far.media, far.media.format, self._services.clock)
        if self.phase is Phase.CALLING:
            srtp = self._leg.srtp if near.remote is None else None
            self._leg.progress(
                near.phone.local(self._leg.local_host, self._formats, near.keys, srtp)
            )

    # What the legs tell

    def on_ringing(self, _leg: TalkingLeg) -> None:
        """The trunk rings."""
        if self.phase is Phase.CALLING:
            self._leg.ringing()

    def on_answered(self, leg: TalkingLeg) -> None:
        """The trunk has answered: so does the phone's leg."""
        if leg is self._leg or self.phase is not Phase.CALLING:
            return
        if self._far is None or self._far.media.path is None:
            self._end_both(_NOT_ACCEPTABLE_HERE, Cause.BEARER_CAPABILITY_NOT_AVAILABLE)
            return
        self.phase = Phase.TALKING
        _log.info("emergency call answered")
        self._leg.answer()

    def on_digit(self, leg: TalkingLeg, digit: str) -> None:
        """Take a digit from SIP INFO to the other side."""
        if leg is self._leg:
            self._on_phone_digit(digit)
        else:
            self._on_trunk_digit(digit)

    def _on_phone_digit(self, digit: str) -> None:
        if self._far is not None:
            self._far.media.send_digit(digit, self._services.clock())

    def _on_trunk_digit(self, digit: str) -> None:
        self._near.media.send_digit(digit, self._services.clock())

    def on_refer(self, _leg: TalkingLeg, _refer: Refer) -> ReferAnswer:
        """Decline: an emergency call is given to nobody else."""
        return ReferAnswer(_DECLINE)

    def on_ended(self, leg: TalkingLeg, status: int, _reason: str, q850: int | None) -> None:
        """Either side hung up, gave up, refused or failed: so ends the other."""
        if self.phase is Phase.OVER:
            return
        cause = cause_of_sip(status, q850)
        by_phone = leg is self._leg
        _log.info("emergency call over", by_phone=by_phone, status=status, **self._given_up())
        self._finish()
        if leg is not self._leg:
            is_refusal = status in _REFUSALS and status not in _OURS_TO_MEND
            self._leg.end(status if is_refusal else _UNAVAILABLE, q850=cause)
        elif self._trunk is not None:
            self._trunk.end(_ENDED, q850=cause)

    # The end

    def fail(self) -> None:
        """End both legs because of an error of ours."""
        if self.phase is not Phase.OVER:
            self._end_both(_SERVER_ERROR, Cause.NORMAL_TEMPORARY_FAILURE)

    def _given_up(self) -> dict[str, int]:
        """Count the frames that were too late or too many, on either way."""
        buffers = [side.media.buffer for side in self._sides]
        return {
            "buffer_late": sum(each.late for each in buffers),
            "buffer_overruns": sum(each.overruns for each in buffers),
            "buffer_slips": sum(each.slips for each in buffers),
        }

    def _end_both(self, status: int, cause: int) -> None:
        self._finish()
        try:
            self._leg.end(status, q850=cause)
        finally:
            if self._trunk is not None:
                self._trunk.end(_ENDED, q850=cause)

    def _finish(self) -> None:
        self.phase = Phase.OVER
        self._over(self)
        for side in self._sides:
            side.media.close()


def formats_of(offer: AudioDescription) -> tuple[Format, ...]:
    """Return the formats that a phone offers and a trunk may have."""
    return tuple(each for each in FORMATS if can_serve(offer, (each,)))


class EmergencyDesk:
    """Takes phones' calls to emergency numbers, whatever the limits say.

    Args:
        plan: Says which numbers are.
        trunk: Where they go.
        services: What the calls use.

    Attributes:
        taken: Such calls since the start, those that failed included.
    """

    def __init__(self, plan: DialPlan, trunk: str, services: EmergencyServices) -> None:
        self.taken = 0
        self._plan = plan
        self._trunk = trunk
        self._services = services
        self._live: set[EmergencyCall] = set()

    @property
    def live_calls(self) -> int:
        """How many are not over."""
        return len(self._live)

    def is_emergency(self, called: str) -> bool:
        """Tell whether a call to this number has to be taken."""
        return self._plan.emergency_number(called) is not None

    def take(self, leg: IncomingLeg) -> EmergencyCall | None:
        """Take a phone's emergency call, or end its leg where that is not possible."""
        self.taken += 1
        number = self._plan.emergency_number(leg.called) or ""
        if leg.offer is not None and not formats_of(leg.offer):
            _log.error("emergency call failed", why="the phone offers no codec that is known here")
            leg.end(_NOT_ACCEPTABLE_HERE)
            return None
        try:
            call = EmergencyCall(self._services, leg, self._live.discard)
            self._live.add(call)
            call.start(trunk_number(self._trunk, number))
        except BridgeError as error:
            _log.error("emergency call failed", why=str(error))
            leg.end(_UNAVAILABLE, retry_after_s=RETRY_AFTER_S)
            return None
        return call

    def fail(self, media: CallMedia) -> None:
        """End the call whose media failed."""
        for call in [call for call in self._live if call.uses(media)]:
            call.fail()
