"""One call from a link to a phone: an IAX2 leg that the peer placed, and the SIP legs it leads to.

Owns the order of things: the link's call is answered at once, its digits are collected, the phone
is called at all its contacts, the first that answers has the call; and an end that always takes
all legs. What the caller hears meanwhile is a tone, and what its side is told is in signal slots.

    COLLECTING -> RINGING -> TALKING -> OVER
        |            |
        +------------+--> LEAVING -> OVER      the caller hears why, then HANGUP says it

LEAVING is the tail of a call that was answered, too, where the link wants one.
"""

from collections.abc import Callable
from contextlib import suppress
from enum import Enum, auto
from functools import partial
from typing import Final

import structlog

from bridge.bridging.causes import CONTROL_OF_CAUSE, cause_of_end, cause_of_sip
from bridge.bridging.greeting import GREETING
from bridge.bridging.link import Acceptance, Link
from bridge.bridging.link_side import send_signal, summary
from bridge.bridging.phone_side import PhoneSide
from bridge.bridging.phones import PhoneLegs
from bridge.bridging.services import CallServices, TalkingLeg
from bridge.bridging.transfer import Transfers
from bridge.dialing.collector import Collection, DigitCollector
from bridge.dialing.envelope import Cng, HangUp, Signal, SignalSlots, grid_point
from bridge.dialing.steady_slots import SteadySlots
from bridge.errors import BridgeError
from bridge.iax2 import (
    Call,
    CalleeCall,
    CallEnded,
    Cause,
    ControlSubclass,
    DigitReceived,
    EndReason,
    Event,
    Format,
    LocalProtocolError,
    TextReceived,
    VoiceReceived,
)
from bridge.media.call_media import CallMedia
from bridge.media.link_audio import play_to_link
from bridge.sip.leg import SipLeg
from bridge.sip.refer import Refer, ReferAnswer
from bridge.sip.sdes import KeyExchange, Srtp
from bridge.sip.sdp import AudioDescription, LocalMedia

NOT_ACCEPTABLE_HERE: Final = 488
REFUSAL_TONE_S: Final = 8.0
"""How long a caller hears busy or congestion before HANGUP, unless its side is a bridge."""

_log = structlog.get_logger(__name__)


class Phase(Enum):
    """How far a call from a link has come."""

    COLLECTING = auto()
    RINGING = auto()
    TALKING = auto()
    LEAVING = auto()
    OVER = auto()


class InboundCall:
    """A call that a link's peer placed; the handler of the SIP legs that it leads to."""

    def __init__(
        self,
        services: CallServices,
        call: CalleeCall,
        media: CallMedia,
        *,
        link: Link,
        acceptance: Acceptance,
        over: Callable[["InboundCall"], None],
    ) -> None:
        self.link = link
        self.phase = Phase.COLLECTING
        self.media = media
        self.calls: tuple[Call, ...] = (call,)
        self.caller: str | None = None
        self._services = services
        self._call = call
        self._over = over
        self._acceptance = acceptance
        self._phone = PhoneSide(media, services)
        self.transfers = Transfers(self._phone, services.transfers)
        self._legs = PhoneLegs()
        self._collector = DigitCollector(acceptance.limits, services.clock())
        self._slots: SteadySlots | None = None
        self._until = 0.0
        self._caller_is_bridge = False
        self._cause: int = Cause.NORMAL_CLEARING
        self._log = _log.bind(link=link.name, call=call.id)
        media.on_digit = self._on_phone_digit

    def __repr__(self) -> str:
        return f"<InboundCall {self.phase.name} on {self.link.name}>"

    def start(self, media_format: Format) -> None:
        """Answer the link's call, and wait for its digits.

        Raises:
            LocalProtocolError: the call is over already.
        """
        now = self._services.clock()
        self._call.accept(media_format, now)
        self._call.answer(now)
        voice = self._call.voice
        if voice is None:
            raise LocalProtocolError("the call has no voice")
        self.media.connect(voice, self._send_full_voice, now)
        # On the audio's grid, so that signals and audio share wake-ups.
        self._slots = SteadySlots(self.media.slot_from(grid_point(now)))
        self._slots.offer_text(GREETING)
        self._log.info("call from the link answered, encrypted both ways")
        self._services.drain()

    @property
    def formats(self) -> tuple[Format, ...]:
        """The link's codec, or those that it may have."""
        voice = self._call.voice
        return self.link.formats if voice is None else (voice.format,)

    # The link's side

    def handle_event(self, event: Event, now: float) -> None:
        """Take what the engine tells of the link's call."""
        match event:
            case DigitReceived(digit=digit):
                self._on_link_digit(digit, now)
            case VoiceReceived(payload=payload, timestamp_ms=timestamp_ms):
                self.media.receive_voice(payload, timestamp_ms, now)
            case TextReceived(text=text) if text == GREETING:
                self._caller_is_bridge = True
            case CallEnded(reason=reason, cause=cause):
                self._on_link_ended(reason, cause)

    def _on_link_digit(self, digit: str, now: float) -> None:
        if self.phase is Phase.TALKING:
            self.media.send_digit(digit, now)
        elif self.phase is Phase.COLLECTING:
            self._on_collected(self._collector.receive(digit, now), now)

    def _on_collected(self, collection: Collection, now: float) -> None:
        match collection:
            case Collection.COMPLETE:
                self._on_dialed(self._collector.take(), now)
            case Collection.EMPTY | Collection.TOO_LONG:
                self._log.info("no number was dialed", why=collection.name.lower())
                self._refuse(Cause.INVALID_NUMBER_FORMAT, now)

    def _on_dialed(self, digits: str, now: float) -> None:
        if (dialed := self._acceptance.read(digits)) is None:
            self._log.warning("what was dialed is no caller and number as caller_id.format says")
            self._refuse(Cause.INVALID_NUMBER_FORMAT, now)
            return
        self.caller, number = dialed
        self._ring(number, now)

    def _on_link_ended(self, reason: EndReason, cause: int | None) -> None:
        if self.phase is Phase.OVER:
            return
        level = "info" if reason is EndReason.HANGUP else "warning"
        getattr(self._log, level)("link's call ended", reason=reason.value, cause=cause)
        self._finish()
        self._end_phones(cause_of_end(reason, cause))

    # The phone's side

    def _ring(self, number: str, now: float) -> None:
        targets = self._services.find_phone(number, self.link.name)
        if targets is None:
            self._log.info("no route matches the number")
            self._refuse(Cause.UNASSIGNED_NUMBER, now)
            return
        self.phase = Phase.RINGING
        self._until = now + self._acceptance.ring_s
        self._offer_control(ControlSubclass.PROCEEDING)
        for target in targets:
            keys = KeyExchange()
            try:
                leg = self._services.call_phone(target, self, partial(self._offer, keys))
            except BridgeError as error:
                self._log.warning("phone cannot be called", why=str(error))
            else:
                self._legs.add(leg, keys)
        self._log.info("phone called", contacts=self._legs.count)
        if not self._legs.count:
            self._refuse(Cause.NORMAL_TEMPORARY_FAILURE, now)

    def _offer(self, keys: KeyExchange, local_host: str, srtp: Srtp) -> LocalMedia:
        """Let audio arrive by IPv4 or by IPv6, as the first phone that is called needs it."""
        host, transfers = self._services.media_address or local_host, self._services.transfers
        if self.media.ports.is_ipv6 != (":" in host):
            if self._legs.count:
                raise BridgeError("another phone is called already, by the other version of IP")
            transfers.move(self.media, transfers.open_ports(host))
        return self._phone.local(local_host, self.formats, keys, srtp)

    def on_media(self, leg: TalkingLeg, remote: AudioDescription | None) -> LocalMedia:
        """Negotiate SDP; of several phones that send early media the first one is heard."""
        keys = self._legs.keys_of(leg)
        if remote is None:
            return self._offer(keys, leg.local_host, leg.srtp)
        if self._legs.may_be_heard(leg) and self._agree(leg, remote):
            self._legs.hear(leg)
            if self.phase is Phase.RINGING:
                play_to_link(self.media, None)
        return self._phone.local(leg.local_host, self.formats, keys, None)

    def _agree(self, leg: TalkingLeg, remote: AudioDescription) -> bool:
        keys, now = self._legs.keys_of(leg), self._services.clock()
        return self._phone.agree(remote, self.formats, leg.source[0], keys, now)

    def on_ringing(self, _leg: TalkingLeg) -> None:
        """A phone rings: the caller hears it, and is told once."""
        if self.phase is Phase.RINGING and self._legs.ring():
            self._offer_control(ControlSubclass.RINGING)
            if self._legs.heard is None:
                self._play(ControlSubclass.RINGING)

    def on_answered(self, leg: TalkingLeg) -> None:
        """The first phone that answers has the call; the others are cancelled."""
        if not self._has_agreed(leg):
            self._legs.remove(leg, NOT_ACCEPTABLE_HERE, None)
            leg.end(NOT_ACCEPTABLE_HERE, q850=Cause.BEARER_CAPABILITY_NOT_AVAILABLE)
            self._refuse_without_phones()
            return
        self.phase = Phase.TALKING
        self._legs.answer(leg)
        self._phone.count_silence_from(self._services.clock())
        play_to_link(self.media, None)
        self._offer_control(ControlSubclass.ANSWER)
        self._log.info("phone answered")

    def _has_agreed(self, leg: TalkingLeg) -> bool:
        if self._legs.heard is leg:
            return True
        return leg.remote is not None and self._agree(leg, leg.remote)

    @property
    def phone_leg(self) -> SipLeg | None:
        """The phone's leg while both sides talk."""
        leg = self._legs.answered if self.phase is Phase.TALKING else None
        return leg if isinstance(leg, SipLeg) else None

    def on_refer(self, leg: SipLeg, refer: Refer) -> ReferAnswer:
        """The phone gives its call to another one."""
        return self.transfers.refer(self, leg, refer)

    def take_phone(self, leg: TalkingLeg, keys: KeyExchange, *, may_be_quiet: bool = False) -> None:
        """Go on with another phone, whose audio has the link's codec."""
        self._phone.change(may_be_quiet=may_be_quiet)
        self._legs.replace(leg, keys)
        if leg.remote is not None:
            self._agree(leg, leg.remote)

    def on_digit(self, _leg: TalkingLeg, digit: str) -> None:
        """Take a digit from SIP INFO."""
        self._on_phone_digit(digit)

    def on_ended(self, leg: TalkingLeg, status: int, _reason: str, q850: int | None) -> None:
        """A phone refused, hung up, or its leg failed."""
        was_talking = self._legs.remove(leg, status, q850)
        if self.phase is Phase.TALKING and was_talking:
            self._log.info("phone's leg ended", status=status)
            self._leave(cause_of_sip(status, q850))
        else:
            self._refuse_without_phones()

    def _refuse_without_phones(self) -> None:
        if self.phase is Phase.RINGING and not self._legs.count:
            status, q850 = self._legs.best_failure
            self._log.info("no phone takes the call", status=status)
            self._refuse(cause_of_sip(status, q850), self._services.clock())

    def _on_phone_digit(self, digit: str) -> None:
        if self.phase is Phase.TALKING and self.link.in_call_digits and self._slots is not None:
            self._slots.offer_digit(digit)

    # What the caller hears, and what its side is told

    def _offer_control(self, subclass: ControlSubclass) -> None:
        if self._slots is not None:
            self._slots.offer_control(subclass)

    def _play(self, subclass: ControlSubclass) -> None:
        if (voice := self._call.voice) is not None:
            play_to_link(self.media, self._services.tone(subclass, voice.format))

    def _refuse(self, cause: int, now: float) -> None:
        """Let the caller hear why; HANGUP says it behind that."""
        self.phase = Phase.LEAVING
        self._cause = cause
        self._until = now + REFUSAL_TONE_S
        self._end_phones(cause)
        busy = cause == Cause.USER_BUSY
        self._play(ControlSubclass.BUSY if busy else ControlSubclass.CONGESTION)
        if (control := CONTROL_OF_CAUSE.get(cause)) is not None:
            self._offer_control(control)

    def _send_full_voice(self, payload: bytes, timestamp_ms: int) -> None:
        # It may have ended within the datagrams just received; its event comes next.
        with suppress(LocalProtocolError):
            self._call.send_voice(payload, timestamp_ms, self._services.clock())
        self._services.drain()

    # The clock

    def next_deadline(self) -> float | None:
        """Return when `handle_deadline` is due."""
        return None if self._slots is None else self._slots.next_slot_at()

    def handle_deadline(self, now: float) -> None:
        """Send the signal of the slot that has come, and look what has taken too long."""
        if (slots := self._slots) is None:
            return
        if self.phase is Phase.RINGING and self._legs.begins_early_media():
            slots.offer_control(ControlSubclass.PROGRESS)
        signal = slots.take(now)
        if isinstance(signal, HangUp):
            self._hang_up_link(self._cause)
            return
        send_signal(self._call, signal, now)
        if self.phase is not Phase.TALKING or now >= self._phone.look_at:
            self._look(slots, signal, now)

    def _look(self, slots: SignalSlots, signal: Signal, now: float) -> None:
        self.transfers.expire(now)
        match self.phase:
            case Phase.COLLECTING:
                self._on_collected(self._collector.expire(now), now)
            case Phase.RINGING if now >= self._until:
                self._log.info("no phone answers")
                self._refuse(Cause.NO_ANSWER, now)
            case Phase.LEAVING if signal == Cng() and (
                self._caller_is_bridge or now >= self._until
            ):
                slots.leave()
            case Phase.TALKING if why := self._phone.why_over(now):
                self._log.warning(why)
                self._leave(Cause.RECOVERY_ON_TIMER_EXPIRY)

    # The end

    def _end_phones(self, cause: int) -> None:
        self.transfers.end(cause)
        self._legs.end(cause)

    def shut_down(self) -> None:
        """End all legs because the service stops."""
        self._leave(Cause.NORMAL_TEMPORARY_FAILURE)

    def fail(self) -> None:
        """End all legs because of an error of ours."""
        self.cut_short()

    def cut_short(self) -> None:
        """End all legs at once."""
        if self.phase is not Phase.OVER:
            self._hang_up_link(Cause.NORMAL_TEMPORARY_FAILURE)

    def _leave(self, cause: int) -> None:
        """End the phone's leg at once, and the link's behind the tail where it wants one."""
        if self.phase is Phase.OVER:
            return
        if self._slots is None or not self.link.tail:
            self._hang_up_link(cause)
            return
        self.phase = Phase.LEAVING
        self._cause = cause
        self._until = 0.0
        self._slots.leave(self.link.tail_slots(self._services.uniform))
        self._end_phones(cause)
        self._phone.part(self._services.clock())

    def _hang_up_link(self, cause: int) -> None:
        try:
            self._finish()
            self._end_phones(cause)
        finally:
            self._call.hang_up(self._services.clock(), cause)
            self._services.drain()

    def _finish(self) -> None:
        self.phase = Phase.OVER
        self._slots = None
        self._collector.take()
        self._over(self)
        self._log.info("call over", **summary(self._call, self.media))
        self.media.close()
