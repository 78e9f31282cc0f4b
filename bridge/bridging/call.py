"""One bridged call: a phone's SIP leg, an IAX2 leg, and the media between them.

Owns the order of things: 180 while the link is set up, the dialing once it is answered and
encrypted, 200 when the digits are through, and an end that always takes both legs.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

import structlog

from bridge.bridging.attempts import Attempts, Way
from bridge.bridging.causes import (
    CAUSE_OF_CONTROL,
    FinalStatus,
    cause_of_end,
    cause_of_sip,
    status_of_end,
)
from bridge.bridging.greeting import GREETING
from bridge.bridging.link import Link
from bridge.bridging.link_side import send_signal, summary
from bridge.bridging.negotiation import can_serve
from bridge.bridging.phases import Phase
from bridge.bridging.phone_side import PhoneSide
from bridge.bridging.services import CallServices, PhoneLeg, TalkingLeg
from bridge.bridging.tones import FarTones
from bridge.bridging.transfer import Transfers
from bridge.dialing.envelope import HangUp, SignalSlots
from bridge.iax2 import (
    Acknowledged,
    Call,
    CallAnswered,
    CallEnded,
    Cause,
    ControlReceived,
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
from bridge.sip.leg import SipLeg
from bridge.sip.refer import Refer, ReferAnswer
from bridge.sip.sdes import KeyExchange
from bridge.sip.sdp import AudioDescription, LocalMedia

_DIALED: Final = "dialed"
_TALKS_AFTER_S: Final = 1.0  # until a phone that is answered after the last slot sends
_log = structlog.get_logger(__name__)


class BridgedCall:
    """A phone's call on its way over a link; the handler of its SIP leg."""

    def __init__(
        self,
        services: CallServices,
        leg: PhoneLeg,
        media: CallMedia,
        *,
        way: Way,
        others: Iterable[Way] = (),
        over: Callable[["BridgedCall"], None],
    ) -> None:
        self.link: Link = way.link
        self.phase = Phase.SETTING_UP
        self._services = services
        self._leg = leg
        self._talks: TalkingLeg = leg
        self.media = media
        self._attempts = Attempts(way, others)
        self._over = over
        self.caller: str | None = None
        self._call: Call | None = None
        self.calls: list[Call] = []
        """The calls placed: one, and another for each attempt more."""
        self._slots: SignalSlots | None = None
        self._phone_over = False
        self._phone = PhoneSide(media, services)
        self.transfers = Transfers(self._phone, services.transfers)
        self._remote: AudioDescription | None = None
        self._keys = KeyExchange()
        self._peer_is_bridge = False
        self._tones = FarTones(media, services.tone)
        self._cause: int = Cause.NORMAL_CLEARING
        self._digits_dropped = 0
        self._log = _log.bind(link=way.link.name)
        media.on_digit = self._on_phone_digit
        media.in_band_digits = services.in_band_digits

    def __repr__(self) -> str:
        return f"<BridgedCall {self.phase.name} on {self.link.name}>"

    def start(self) -> None:
        """Place the link's call.

        Raises:
            LocalProtocolError: no call can be placed.
        """
        self._place()
        self._tell_of_set_up()

    def _tell_of_set_up(self) -> None:
        waits = self.link.answer_with_far_end
        self._phone.hear(self._services.clock(), nothing=waits)
        if not waits:
            self._leg.ringing()

    def _place(self) -> None:
        call = self._services.place(self)
        self._call = call
        self.calls.append(call)
        self._log = _log.bind(call=call.id, link=self.link.name)
        self._log.info("call placed", attempt=len(self.calls))
        self._services.drain()

    # The phone's side

    def on_media(self, leg: TalkingLeg, remote: AudioDescription | None) -> LocalMedia:
        """Negotiate SDP: `remote` is the phone's offer or answer, None where we offer first.

        What holds no codec of ours changes nothing: the leg refuses it.
        """
        formats = self.formats
        if remote is not None:
            before, now = self.media.format, self._services.clock()
            if self._phone.agree(remote, formats, leg.source[0], self._keys, now):
                self._remote = remote
            if before not in (None, self.media.format):
                self._tones.play_again(now)
        srtp = leg.srtp if remote is None else None
        return self._phone.local(leg.local_host, formats, self._keys, srtp)

    @property
    def formats(self) -> tuple[Format, ...]:
        """The link's codec; those that it may have, until its ACCEPT names one."""
        voice = self._call.voice if self._call else None
        return self.link.formats if voice is None else (voice.format,)

    @property
    def phone_leg(self) -> SipLeg | None:
        """The phone's leg while both sides talk."""
        leg = self._talks if self.phase is Phase.TALKING else None
        return leg if isinstance(leg, SipLeg) else None

    def on_refer(self, leg: SipLeg, refer: Refer) -> ReferAnswer:
        """The phone gives its call to another one."""
        return self.transfers.refer(self, leg, refer)

    def take_phone(self, leg: TalkingLeg, keys: KeyExchange, *, may_be_quiet: bool = False) -> None:
        """Go on with another phone, whose audio has the link's codec."""
        self._talks, self._keys = leg, keys
        self._phone.change(may_be_quiet=may_be_quiet)
        self.on_media(leg, leg.remote)

    def on_answered(self, _leg: TalkingLeg) -> None:
        """Nothing more to do."""

    def on_digit(self, _leg: TalkingLeg, digit: str) -> None:
        """Take a digit from SIP INFO."""
        self._on_phone_digit(digit)

    def on_ended(self, _leg: TalkingLeg, status: int, _reason: str, q850: int | None) -> None:
        """The phone cancelled or hung up, or its leg failed."""
        if self._phone_over:
            return
        self._phone_over = True
        self._log.info("phone's leg ended", status=status)
        self._leave(cause_of_sip(status, q850))

    def _on_phone_digit(self, digit: str) -> None:
        slots = self._slots
        if not (self.link.in_call_digits and slots is not None and slots.offer_digit(digit)):
            self._digits_dropped += 1

    # The link's side

    def handle_event(self, event: Event, now: float) -> None:
        """Take what the engine tells of the link's call."""
        match event:
            case CallAnswered():
                self._on_link_answered(now)
            case Acknowledged(tag=tag) if tag is _DIALED:
                self._on_dialed(now)
            case VoiceReceived(payload=payload, timestamp_ms=timestamp_ms):
                self.media.receive_voice(payload, timestamp_ms, now)
            case ControlReceived(subclass=subclass):
                self._on_control(subclass, now)
            case TextReceived(text=text) if text == GREETING:
                self._on_greeting()
            case DigitReceived(digit=digit) if self.phase is not Phase.SETTING_UP:
                self.media.send_digit(digit, now)
            case CallEnded(reason=reason, cause=cause):
                self._on_link_ended(reason, cause)

    def _on_link_answered(self, now: float) -> None:
        call = self._call
        if self.phase is Phase.AWAITING:
            self._talk(now)
            return
        if self.phase is not Phase.SETTING_UP:
            # Whom the far end calls in turn has answered, and may be silent.
            self._tones.play(ControlSubclass.STOP_TONES, now)
            return
        if call is None or call.voice is None:
            return
        local = self.on_media(self._leg, self._remote)
        serves = can_serve(self._remote, (call.voice.format,))
        if not serves:
            self._phone.part(now, call.voice.format)
        self.phase = Phase.DIALING
        self.media.connect(call.voice, self._send_full_voice, now)
        self._phone.play_on_hold()
        self._lay_out_slots(now)
        self._log.info("link answered, encrypted both ways")
        if not serves:
            self._log.warning("the far end chose a codec that the phone does not have")
            self._end_both(FinalStatus(488), Cause.BEARER_CAPABILITY_NOT_AVAILABLE)
            return
        if not self.link.answer_with_far_end:
            self._leg.progress(local)
        if self.link.answer_immediately:
            self._leg.answer()

    def _lay_out_slots(self, now: float) -> None:
        """Begin the clock of signals, on the audio's grid, so that both share wake-ups."""
        envelope = self.link.envelope
        earliest = now + envelope.draw_start_delay_s(self._services.uniform)
        first_at = envelope.first_slot_at(earliest, self.media.slot_from)
        self._slots = SignalSlots(envelope, self._attempts.take_digits(), first_at)
        if not self.link.answer_with_far_end:
            self.media.settle_at(first_at + envelope.slots * envelope.slot_s + _TALKS_AFTER_S)

    def _on_greeting(self) -> None:
        """The peer is a bridge; ours answers the greeting if the phone is to see what it tells."""
        if self.link.answer_with_far_end and self.phase is Phase.DIALING and self._slots:
            self._peer_is_bridge = True
            self._slots.offer_text(GREETING)

    def _send_full_voice(self, payload: bytes, timestamp_ms: int) -> None:
        if self._call is not None:
            # It may have ended within the datagrams just received; its event comes next.
            with suppress(LocalProtocolError):
                self._call.send_voice(payload, timestamp_ms, self._services.clock())
            self._services.drain()

    def _on_dialed(self, now: float) -> None:
        if self.phase is not Phase.DIALING:
            return
        self._log.info("number delivered")
        if self._peer_is_bridge:
            self.phase = Phase.AWAITING
        else:
            self._talk(now)

    def _talk(self, now: float) -> None:
        self.phase = Phase.TALKING
        self._phone.count_silence_from(now)
        if self.link.answer_with_far_end:
            self._phone.hear(now)
            self._leg.answer(self.on_media(self._leg, self._remote))
        elif not self.link.answer_immediately:
            self._leg.answer()

    def _on_control(self, subclass: int, now: float) -> None:
        if self.phase not in (Phase.SETTING_UP, Phase.AWAITING):
            self._tones.play(subclass, now)
        elif subclass == ControlSubclass.RINGING and self.phase is Phase.AWAITING:
            self._leg.ringing()
        elif subclass == ControlSubclass.PROGRESS and self.phase is Phase.AWAITING:
            self._phone.hear(now)
            self._leg.progress(self.on_media(self._leg, self._remote))
        elif (cause := CAUSE_OF_CONTROL.get(subclass)) is not None:
            self._on_refused(cause, now)

    def _on_refused(self, cause: Cause, now: float) -> None:
        refused = self._call
        if refused is not None and self._tried_on(EndReason.HANGUP, cause):
            refused.hang_up(now, Cause.NORMAL_CLEARING)
            return
        self._end_phone(status_of_end(EndReason.HANGUP, cause), cause)
        self._leave(Cause.NORMAL_CLEARING)

    def _on_link_ended(self, reason: EndReason, cause: int | None) -> None:
        if self.phase is Phase.OVER or self._tried_on(reason, cause):
            return
        level = "info" if reason is EndReason.HANGUP else "warning"
        getattr(self._log, level)("link's call ended", reason=reason.value, cause=cause)
        self._end_phone(status_of_end(reason, cause), cause_of_end(reason, cause))
        self._finish()

    def _tried_on(self, reason: EndReason, cause: int | None) -> bool:
        if self.phase is not Phase.SETTING_UP:
            return False
        while (way := self._attempts.after(reason, cause)) is not None:
            before, self.link = self.link, way.link
            with suppress(LocalProtocolError):
                self._place()
                if before.answer_with_far_end != self.link.answer_with_far_end:
                    self._tell_of_set_up()
                return True
        return False

    # The clock

    def next_deadline(self) -> float | None:
        """Return when `handle_deadline` is due."""
        return None if self._slots is None else self._slots.next_slot_at()

    def handle_deadline(self, now: float) -> None:
        """Send the signal of the slot that has come; look whether the phone still lives."""
        slots, call = self._slots, self._call
        if slots is None or call is None:
            return
        self._send_signal(slots, call, now)
        if now >= self._phone.look_at:
            self._look(now)

    def _look(self, now: float) -> None:
        """Look what has taken too long."""
        self.transfers.expire(now)
        if self.phase is Phase.TALKING and (why := self._phone.why_over(now)):
            self._log.warning(why)
            self._end_both(FinalStatus(408), Cause.RECOVERY_ON_TIMER_EXPIRY)

    def _send_signal(self, slots: SignalSlots, call: Call, now: float) -> None:
        was_dialing = not slots.dialing_over
        signal = slots.take(now)
        tag = _DIALED if was_dialing and slots.dialing_over else None
        if isinstance(signal, HangUp):
            self._hang_up_link(self._cause)
        else:
            send_signal(call, signal, now, tag)

    # The end

    def shut_down(self) -> None:
        """End both legs because the service stops; one that is leaving already does so."""
        if self.phase is not Phase.LEAVING:
            self._end_both(FinalStatus(503))

    def fail(self) -> None:
        """End both legs because of an error of ours; one while leaving ends the call at once."""
        if self.phase is Phase.LEAVING:
            self.cut_short()
        else:
            self._end_both(FinalStatus(500))

    def cut_short(self) -> None:
        """Leave no longer: hang up at once."""
        if self.phase is Phase.LEAVING:
            self._hang_up_link(self._cause)

    def _end_both(self, final: FinalStatus, cause: int = Cause.NORMAL_TEMPORARY_FAILURE) -> None:
        if self.phase is not Phase.OVER:
            try:
                self._end_phone(final, cause)
            finally:
                self._leave(cause)

    def _leave(self, cause: int) -> None:
        """Hang up on the link, behind the burst and the tail where there are any."""
        slots = self._slots
        if slots is None or (slots.dialing_over and not self.link.tail):
            self._hang_up_link(cause)
            return
        self.phase = Phase.LEAVING
        self._cause = cause
        slots.leave(self.link.tail_slots(self._services.uniform))
        self._phone.part(self._services.clock())

    def _end_phone(self, final: FinalStatus, cause: int) -> None:
        if not self._phone_over:
            self._phone_over = True
            self.transfers.end(cause)
            self._talks.end(final.status, retry_after_s=final.retry_after_s, q850=cause)

    def _hang_up_link(self, cause: int) -> None:
        call = self._call
        try:
            self._finish()
        finally:
            if call is not None:
                call.hang_up(self._services.clock(), cause)
                self._services.drain()

    def _finish(self) -> None:
        self.phase = Phase.OVER
        self._attempts.take_digits()
        self._slots = None
        self._over(self)
        told = summary(self._call, self.media)
        self._log.info("call over", digits_dropped=self._digits_dropped, **told)
        self.media.close()
