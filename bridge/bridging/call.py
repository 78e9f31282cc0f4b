"""One bridged call: a phone's SIP leg, an IAX2 leg, and the media between them.

Owns the order of things: 180 while the link is set up, the dialing once it is answered and
encrypted, 200 when the digits are through, and an end that always takes both legs.

    SETTING_UP -> DIALING -> TALKING -> OVER
                     |
                     +-> ABANDONED -> OVER     the caller gave up: the envelope still completes
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from enum import Enum, auto
from typing import Final

import structlog

from bridge.bridging.causes import (
    CAUSE_OF_CONTROL,
    FinalStatus,
    cause_of_end,
    cause_of_sip,
    status_of_end,
)
from bridge.bridging.link import Link
from bridge.bridging.negotiation import local_media, remote_media
from bridge.bridging.services import CallServices, PhoneLeg
from bridge.dialing.envelope import Cng, Control, Digit, SignalSlots
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
    LocalProtocolError,
    VoiceReceived,
)
from bridge.media.call_media import CallMedia
from bridge.media.remote import RemoteMedia
from bridge.sip.sdp import AudioDescription, LocalMedia

ATTEMPTS_MAX: Final = 3
"""A peer that repeats a challenge is called anew, at most twice."""

_DIALED: Final = "dialed"
_log = structlog.get_logger(__name__)


class Phase(Enum):
    """How far a bridged call has come."""

    SETTING_UP = auto()
    DIALING = auto()
    TALKING = auto()
    ABANDONED = auto()
    OVER = auto()


class BridgedCall:
    """A phone's call on its way over a link; the handler of its SIP leg."""

    def __init__(
        self,
        services: CallServices,
        leg: PhoneLeg,
        media: CallMedia,
        *,
        link: Link,
        digits: str,
        over: Callable[["BridgedCall"], None],
    ) -> None:
        self.link = link
        self.phase = Phase.SETTING_UP
        self._services = services
        self._leg = leg
        self.media = media
        self._digits = digits
        self._over = over
        self.calls: list[Call] = []
        """The calls placed on the link: one, and another for each repeated challenge."""
        self._slots: SignalSlots | None = None
        self._phone_over = False
        self._on_hold = False
        self._remote: AudioDescription | None = None
        self._agreed: RemoteMedia | None = None
        self._silent_since = 0.0
        self._control: int | None = None
        self._log = _log.bind(link=link.name)
        media.on_digit = self._on_phone_digit

    def __repr__(self) -> str:
        return f"<BridgedCall {self.phase.name} on {self.link.name}>"

    def start(self) -> None:
        """Place the link's call.

        Raises:
            LocalProtocolError: no call can be placed.
        """
        self._place()
        self._leg.ringing()

    def _place(self) -> None:
        call = self._services.place(self)
        self.calls.append(call)
        self._log = _log.bind(call=call.id, link=self.link.name)
        self._log.info("call placed", attempt=len(self.calls))
        self._services.drain()

    @property
    def _call(self) -> Call | None:
        return self.calls[-1] if self.calls else None

    # The phone's side

    def on_media(self, _leg: PhoneLeg, remote: AudioDescription | None) -> LocalMedia:
        """Negotiate SDP: `remote` is the phone's offer or answer, None where we offer first."""
        return self._negotiate(remote)

    def _negotiate(self, remote: AudioDescription | None) -> LocalMedia:
        """Agree with what the phone says; the link's own codec is first once it is known.

        What holds no codec of ours changes nothing: the leg refuses it.
        """
        voice = self._call.voice if self._call else None
        formats = self.link.formats if voice is None else (voice.format, *self.link.formats)
        if remote is not None:
            agreed = remote_media(remote, formats, signalling_host=self._leg.source[0])
            if agreed is not None:
                self._remote = remote
                self._set_remote(agreed)
        host = self._services.media_address or self._leg.local_host
        return local_media(host, self.media.rtp_port, formats)

    def _set_remote(self, agreed: RemoteMedia) -> None:
        now = self._services.clock()
        changes_codec = self._agreed is not None and agreed.format != self._agreed.format
        self._agreed = agreed
        self._on_hold = not (agreed.sends and agreed.receives)
        # A hold without packets is no silence of the phone's: it begins to count anew.
        self._silent_since = now
        self.media.set_remote(agreed)
        if changes_codec and self._control is not None and self.media.speaking:
            self._play(self._control, now)

    def on_answered(self, _leg: PhoneLeg) -> None:
        """Nothing more to do: the relay waits for the phone's packets anyway."""

    def on_digit(self, _leg: PhoneLeg, digit: str) -> None:
        """Take a digit from SIP INFO."""
        self._on_phone_digit(digit)

    def on_ended(self, _leg: PhoneLeg, status: int, _reason: str, q850: int | None) -> None:
        """The phone cancelled or hung up, or its leg failed."""
        if self._phone_over:
            return
        self._phone_over = True
        self._log.info("phone's leg ended", status=status)
        if self.phase is Phase.DIALING and self._slots and not self._slots.dialing_over:
            self._abandon(self._slots)
        else:
            self._hang_up_link(cause_of_sip(status, q850))

    def _abandon(self, slots: SignalSlots) -> None:
        """Let the envelope complete without its digits, and the phone's ports be."""
        slots.abandon()
        self.phase = Phase.ABANDONED
        if self._agreed is not None:
            self._set_remote(replace(self._agreed, sends=False, receives=False))

    def _on_phone_digit(self, digit: str) -> None:
        if self._slots is not None:
            self._slots.offer_digit(digit)

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
            case DigitReceived(digit=digit) if self.phase is not Phase.SETTING_UP:
                self.media.send_digit(digit, now)
            case CallEnded(reason=reason, cause=cause):
                self._on_link_ended(reason, cause)

    def _on_link_answered(self, now: float) -> None:
        call = self._call
        if self.phase is not Phase.SETTING_UP:
            # Whom the far end calls in turn has answered, and may be silent.
            self._play(ControlSubclass.STOP_TONES, now)
            return
        if call is None or call.voice is None:
            return
        self.phase = Phase.DIALING
        envelope = self.link.envelope
        delay_s = envelope.draw_start_delay_s(self._services.uniform)
        self._slots = SignalSlots(envelope, self._digits, now, delay_s)
        self._digits = ""
        self.media.connect(call.voice, self._send_full_voice, now)
        self._log.info("link answered, encrypted both ways")
        self._leg.progress(self._negotiate(self._remote))
        if self.link.answer_immediately:
            self._leg.answer()

    def _send_full_voice(self, payload: bytes, timestamp_ms: int) -> None:
        if self._call is not None:
            # It may have ended within the datagrams just received; its event comes next.
            with suppress(LocalProtocolError):
                self._call.send_voice(payload, timestamp_ms, self._services.clock())
            self._services.drain()

    def _on_dialed(self, now: float) -> None:
        if self.phase is not Phase.DIALING:
            return
        self.phase = Phase.TALKING
        self._silent_since = now
        self._log.info("number delivered")
        if not self.link.answer_immediately:
            self._leg.answer()

    def _on_control(self, subclass: int, now: float) -> None:
        if self.phase is not Phase.SETTING_UP:
            self._play(subclass, now)
        elif (cause := CAUSE_OF_CONTROL.get(subclass)) is not None:
            self._end_phone(status_of_end(EndReason.HANGUP, cause), cause)
            self._hang_up_link(Cause.NORMAL_CLEARING)

    def _play(self, subclass: int, now: float) -> None:
        tone = self._services.tone(subclass, self.media)
        if tone is not None:
            self._control = subclass
            self.media.play(tone, now, until_voice=True)
        elif subclass == ControlSubclass.STOP_TONES and self._control is not None:
            self._control = None
            self.media.play(None, now)

    def _on_link_ended(self, reason: EndReason, cause: int | None) -> None:
        if self.phase is Phase.OVER or self._called_anew(reason):
            return
        level = "info" if reason is EndReason.HANGUP else "warning"
        getattr(self._log, level)("link's call ended", reason=reason.value, cause=cause)
        self._end_phone(status_of_end(reason, cause), cause_of_end(reason, cause))
        self._finish()

    def _called_anew(self, reason: EndReason) -> bool:
        if reason is not EndReason.REPLAYED_CHALLENGE or len(self.calls) >= ATTEMPTS_MAX:
            return False
        self._log.warning("security: the peer repeated a challenge; calling anew")
        try:
            self._place()
        except LocalProtocolError:
            return False
        return True

    # The clock

    def next_deadline(self) -> float | None:
        """Return when `handle_deadline` is due."""
        return None if self._slots is None else self._slots.next_slot_at()

    def handle_deadline(self, now: float) -> None:
        """Send the signal of the slot that has come; look whether the phone still lives."""
        slots, call = self._slots, self._call
        if slots is None or call is None:
            return
        if self.phase is Phase.ABANDONED and slots.dialing_over:
            self._hang_up_link(Cause.NORMAL_CLEARING)
            return
        self._send_signal(slots, call, now)
        if self.phase is Phase.TALKING and self._phone_is_dead(now):
            self._log.warning("the phone sends no audio any more")
            self._end_phone(FinalStatus(408), Cause.RECOVERY_ON_TIMER_EXPIRY)
            self._hang_up_link(Cause.RECOVERY_ON_TIMER_EXPIRY)

    def _send_signal(self, slots: SignalSlots, call: Call, now: float) -> None:
        was_dialing = not slots.dialing_over
        signal = slots.take(now)
        tag = _DIALED if was_dialing and slots.dialing_over else None
        match signal:
            case Digit(value=digit):
                call.send_digit(digit, now, tag)
            case Control(subclass=subclass):
                call.send_control(ControlSubclass(subclass), now, tag)
            case Cng():
                call.send_cng(now, tag)
        self._services.drain()

    def _phone_is_dead(self, now: float) -> bool:
        services = self._services
        timeout_s = services.hold_timeout_s if self._on_hold else services.rtp_timeout_s
        heard_at = max(self.media.last_rtp_at or 0.0, self._silent_since)
        return now - heard_at > timeout_s

    # The end

    def shut_down(self) -> None:
        """End both legs because the service stops."""
        self._end_both(FinalStatus(503))

    def fail(self) -> None:
        """End both legs because of an error of ours."""
        self._end_both(FinalStatus(500))

    def _end_both(self, final: FinalStatus) -> None:
        if self.phase is not Phase.OVER:
            try:
                self._end_phone(final, Cause.NORMAL_TEMPORARY_FAILURE)
            finally:
                self._hang_up_link(Cause.NORMAL_TEMPORARY_FAILURE)

    def _end_phone(self, final: FinalStatus, cause: int) -> None:
        if not self._phone_over:
            self._phone_over = True
            self._leg.end(final.status, retry_after_s=final.retry_after_s, q850=cause)

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
        self._digits = ""
        self._slots = None
        self._over(self)
        self._log.info("call over", **self._summary())
        self.media.close()

    def _summary(self) -> dict[str, int]:
        voice = self._call.voice if self._call else None
        if voice is None:
            return {}
        buffer = self.media.buffer
        return {
            "voice_sent": voice.sent,
            "voice_received": voice.received,
            "voice_lost": voice.lost,
            "voice_dropped": voice.dropped_size + voice.dropped_implausible,
            "buffer_late": buffer.late,
            "buffer_overruns": buffer.overruns,
            "buffer_slips": buffer.slips,
        }
