"""One call leg: what both roles share, from the first frame to the last acknowledgement.

Owns the state, the timers and the ending of a call. The handshakes of the two roles stand in
`caller` and `callee`, the wire in `channel`. Performs no I/O: all goes to `CallServices`.

The order of a received frame: decrypt and judge, settle what it acknowledges, place it in the
sequence, look its input up in the table of states, act, acknowledge it.
"""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final

from bridge.iax2.cipher import KEY_OCTETS
from bridge.iax2.constants import (
    CALL_NUMBER_NONE,
    CALL_NUMBER_STATELESS,
    DTMF_DIGITS,
    Cause,
    ControlSubclass,
    ElementType,
    Format,
    FrameType,
    IaxSubclass,
)
from bridge.iax2.elements import InformationElements, parse_elements_untrusted
from bridge.iax2.errors import FrameError, LocalProtocolError
from bridge.iax2.events import (
    Acknowledged,
    CallAnswered,
    CallEnded,
    ControlReceived,
    DigitReceived,
    EndReason,
    TextReceived,
    VoiceReceived,
)
from bridge.iax2.frames import FullFrame
from bridge.iax2.inputs import input_of, is_unsequenced
from bridge.iax2.leg import CallLeg
from bridge.iax2.queries import reply_to_query
from bridge.iax2.reliability import Outstanding
from bridge.iax2.reports import ReceptionReport
from bridge.iax2.rotation import ROTATION, rotate, schedule_rotation
from bridge.iax2.states import HANDSHAKE, OVER, TRANSITIONS, Input
from bridge.iax2.timers import (
    LAGRQ_INTERVAL_S,
    LINGER_S,
    PING_INTERVAL_S,
    PROBE_INTERVAL_S,
    Timer,
)

_FINAL: Final = object()
"""Tag of the HANGUP or REJECT whose acknowledgement ends a call."""

_SENDING: Final = frozenset(state for state, event in TRANSITIONS if event is Input.SEND_SIGNAL)

Handler = Callable[[Any, FullFrame, float], None]
"""A method that acts on one input: (call, frame, now)."""


class Call(CallLeg):
    """A call leg; made by an Endpoint alone."""

    def send_digit(self, digit: str, now: float, tag: object = None) -> None:
        """Send one of 0-9, *, #, A-D as the end of a DTMF digit.

        Raises:
            LocalProtocolError: no such digit, or the call is not accepted.

        Source: RFC 5456 section 8.2 (DTMF); Asterisk needs no BEGIN.
        """
        if digit not in DTMF_DIGITS:
            raise LocalProtocolError("not a DTMF digit")
        self._send_signal(FrameType.DTMF_END, ord(digit), now, tag)

    def send_cng(self, now: float, tag: object = None) -> None:
        """Send comfort noise: on the wire it looks as a digit does.

        Raises:
            LocalProtocolError: the call is not accepted.
        """
        self._send_signal(FrameType.CNG, 0, now, tag)

    def send_control(self, subclass: ControlSubclass, now: float, tag: object = None) -> None:
        """Send a CONTROL frame.

        Raises:
            LocalProtocolError: the call is not accepted.
        """
        self._send_signal(FrameType.CONTROL, subclass, now, tag)

    def send_text(self, text: bytes, now: float, tag: object = None) -> None:
        """Send a TEXT frame; one of up to seven octets looks as a digit does on the wire.

        Raises:
            LocalProtocolError: the call is not accepted.

        Source: RFC 5456 section 8.2 (TEXT); the NUL behind it is Asterisk's.
        """
        self._send_signal(FrameType.TEXT, 0, now, tag, text + b"\0")

    def send_voice(self, payload: bytes, timestamp_ms: int, now: float) -> None:
        """Send 20 ms of voice, in a full or a mini frame as the timestamp asks.

        Raises:
            LocalProtocolError: the call is not accepted, or the payload's size is wrong.
        """
        voice = self.voice
        if voice is None or (self.state, Input.SEND_SIGNAL) not in TRANSITIONS:
            raise LocalProtocolError(f"no voice in state {self.state.name}")
        if len(payload) != voice.frame_octets:
            raise LocalProtocolError(f"20 ms of voice are {voice.frame_octets} octets here")
        mini = voice.seal(payload, timestamp_ms)
        if mini is not None:
            self._services.transmit(mini, self.address)
            return
        voice.start_period(timestamp_ms)
        self._send(FrameType.VOICE, voice.format, payload, now=now, timestamp_ms=timestamp_ms)

    def hang_up(self, now: float, cause: int = Cause.NORMAL_CLEARING) -> None:
        """End the call; one that is over already stays so."""
        if (self.state, Input.HANG_UP) in TRANSITIONS:
            self._hang_up(EndReason.LOCAL, now, cause)

    def supersede(self, now: float) -> None:
        """End a call whose number the peer has proven to use for another one."""
        if (self.state, Input.GIVE_UP) in TRANSITIONS:
            self._end(Input.GIVE_UP, EndReason.RESTARTED, now)

    def receive(self, datagram: bytes, now: float) -> None:
        """Take a full frame addressed to this call, encrypted or not."""
        acknowledged = self._channel.take_ack(datagram, now)
        if acknowledged is None:
            self._receive_any(datagram, now)
            return
        for arrived in acknowledged:
            if arrived.tag is not None:
                self._on_acknowledged(arrived, now)
                self._services.reschedule(self)

    def _receive_any(self, datagram: bytes, now: float) -> None:
        frame = self._open(datagram, now)
        if frame is not None:
            if self._services.watch is not None:
                self._services.watch.received(frame, self.address, encrypted=self.is_encrypted)
            if frame.source_call_number != CALL_NUMBER_STATELESS:
                self._settle(frame.iseqno, now)
            self._receive(frame, now)
        self._services.reschedule(self)

    def receive_voice(self, datagram: bytes, now: float) -> None:
        """Take a mini frame that did not go through the fast path."""
        opened = self.voice.open(datagram, now) if self.voice else None
        if opened is not None and (self.state, Input.RECEIVE_SIGNAL) in TRANSITIONS:
            timestamp_ms, payload = opened
            self._services.emit(VoiceReceived(self, payload, timestamp_ms))

    def next_deadline(self) -> float | None:
        """Return when `handle_timeout` wants to be called."""
        timer_at = self._timers.next_at
        again_at = self._channel.sequence.next_deadline()
        if again_at is None or (timer_at is not None and timer_at < again_at):
            return timer_at
        return again_at

    def handle_timeout(self, now: float) -> None:
        """Send again what is due, and act on timers that ran out."""
        for waiting in self._channel.sequence.due(now, handshake=self.state in HANDSHAKE):
            if waiting.is_exhausted:
                self._end(Input.GIVE_UP, EndReason.NO_RESPONSE, now)
                break
            self._channel.retransmit(waiting)
        while timer := self._timers.pop_expired(now):
            self._expire(timer, now)
        self._services.reschedule(self)

    def _open(self, datagram: bytes, now: float) -> FullFrame | None:
        channel, voice = self._channel, self.voice
        ends_in_clear = channel.statistics.ends_in_clear
        frame = channel.open(datagram, now)
        if channel.statistics.ends_in_clear > ends_in_clear:
            self._probe(now)
        keys = channel.keys
        if voice is not None and keys is not None and voice.opener is not keys.current:
            voice.use_keys(keys, now)
        return frame

    def _probe(self, now: float) -> None:
        """Ask the peer itself whether the call is over, as somebody said in clear.

        One PING in ten seconds: nobody makes us send more of them.
        """
        if Timer.PING in self._timers and now >= self._probe_at:
            self._probe_at = now + PROBE_INTERVAL_S
            self._timers.start(Timer.PING, now)

    def _receive(self, frame: FullFrame, now: float) -> None:
        if is_unsequenced(frame):
            self._receive_unsequenced(frame, now)
            return
        if self._channel.peer_call_number == CALL_NUMBER_NONE:
            self._channel.learn_peer(frame, now)
        for due in self._channel.deliver(frame, now):
            self._act(due, now)

    def _receive_unsequenced(self, frame: FullFrame, now: float) -> None:
        if frame.subclass == IaxSubclass.VNAK:
            self._channel.answer_vnak(frame, now)
        elif frame.subclass != IaxSubclass.ACK:
            self._act(frame, now)

    def _act(self, frame: FullFrame, now: float) -> None:
        received = input_of(frame)
        handler = self.HANDLERS.get(received)
        if handler is not None and (self.state, received) in TRANSITIONS:
            try:
                handler(self, frame, now)
            except FrameError:
                self.statistics.dropped_malformed += 1
            return
        self.statistics.dropped_illegal += 1
        if self.state in OVER and not (self.is_encrypted or is_unsequenced(frame)):
            # The peer is still setting up a call that we gave up before we knew its number. An
            # INVAL is never answered with INVAL: two such ends would go on for ever.
            self._channel.send_unsequenced(IaxSubclass.INVAL, now)
            self._channel.sequence.acknowledgement_owed = False

    def _on_hangup(self, frame: FullFrame, now: float) -> None:
        cause = parse_elements_untrusted(frame.data).uint(ElementType.CAUSECODE, 1)
        rejected = frame.subclass == IaxSubclass.REJECT
        reason = EndReason.REJECTED if rejected else EndReason.HANGUP
        self._end(input_of(frame), reason, now, cause)

    def _on_answer(self, _frame: FullFrame, _now: float) -> None:
        self._advance(Input.RECEIVE_ANSWER)
        self._timers.stop(Timer.SETUP)
        self._services.emit(CallAnswered(self))

    def _on_signal(self, frame: FullFrame, now: float) -> None:
        match frame.frame_type:
            case FrameType.VOICE:
                self._on_voice(frame, now)
            case FrameType.DTMF_END:
                self._services.emit(DigitReceived(self, chr(frame.subclass)))
            case FrameType.CONTROL:
                self._services.emit(ControlReceived(self, frame.subclass))
            case FrameType.TEXT:
                self._services.emit(TextReceived(self, frame.data.rstrip(b"\0")))

    def _on_voice(self, frame: FullFrame, now: float) -> None:
        voice = self.voice
        if voice is None or frame.subclass != voice.format or len(frame.data) != voice.frame_octets:
            raise FrameError("voice of another format or size than the call's")
        voice.take_full_frame(frame.timestamp_ms, now)
        self._services.emit(VoiceReceived(self, frame.data, frame.timestamp_ms))

    def _on_rtkey(self, frame: FullFrame, now: float) -> None:
        key = parse_elements_untrusted(frame.data).get(ElementType.CHALLENGE)
        if key is None or len(key) != KEY_OCTETS or self._channel.keys is None:
            raise FrameError("RTKEY carries no key of 16 octets")
        self._channel.keys.announce(key)
        if self.voice is not None:
            self.voice.use_keys(self._channel.keys, now)
        # A full frame must prove the new key before voice under it is played: ask for one.
        self._send(FrameType.IAX, IaxSubclass.PING, now=now)

    def _on_query(self, frame: FullFrame, now: float) -> None:
        match frame.subclass:
            case IaxSubclass.PONG:
                report = ReceptionReport.read(parse_elements_untrusted(frame.data))
                self.far_reception = report or self.far_reception
            case IaxSubclass.LAGRP:
                self.lag_s = self._channel.since_s(frame.timestamp_ms, now)
        reply = reply_to_query(frame, self.voice)
        if reply is not None:
            timestamp_ms = frame.timestamp_ms if reply.echoes else None
            self._send(
                FrameType.IAX, reply.subclass, reply.data, now=now, timestamp_ms=timestamp_ms
            )

    HANDLERS: ClassVar[Mapping[Input, Handler]] = {
        Input.RECEIVE_HANGUP: _on_hangup,
        Input.RECEIVE_REJECT: _on_hangup,
        Input.RECEIVE_ANSWER: _on_answer,
        Input.RECEIVE_SIGNAL: _on_signal,
        Input.RECEIVE_RTKEY: _on_rtkey,
        Input.RECEIVE_QUERY: _on_query,
    }
    """What acts on each input; the roles add their handshakes."""

    def _settle(self, iseqno: int, now: float) -> None:
        for arrived in self._channel.sequence.acknowledge(iseqno, now):
            self._on_acknowledged(arrived, now)

    def _on_acknowledged(self, arrived: Outstanding, now: float) -> None:
        if arrived.tag is _FINAL:
            self._end(Input.RECEIVE_FINAL_ACK, EndReason.LOCAL, now)
        elif arrived.tag is ROTATION:
            schedule_rotation(self._timers, self._rekey_s, now)
        elif arrived.tag is not None:
            self._services.emit(Acknowledged(self, arrived.tag))

    def _send_signal(
        self, frame_type: FrameType, subclass: int, now: float, tag: object, data: bytes = b""
    ) -> None:
        if self.state not in _SENDING:
            raise LocalProtocolError(f"no signal in state {self.state.name}")
        self._send(frame_type, subclass, data, now=now, tag=tag)

    def _send(
        self,
        frame_type: int,
        subclass: int,
        data: bytes = b"",
        *,
        now: float,
        timestamp_ms: int | None = None,
        tag: object = None,
    ) -> None:
        """Send a sequenced frame; too many without acknowledgement end the call."""
        if self._channel.sequence.is_full:
            self._end(Input.GIVE_UP, EndReason.NO_RESPONSE, now)
            return
        self._channel.send(frame_type, subclass, data, now=now, timestamp_ms=timestamp_ms, tag=tag)
        self._services.reschedule(self)

    def _expire(self, timer: Timer, now: float) -> None:
        match timer:
            case Timer.PING:
                self._timers.start(Timer.PING, now + PING_INTERVAL_S)
                self._send(FrameType.IAX, IaxSubclass.PING, now=now)
            case Timer.LAGRQ:
                self._timers.start(Timer.LAGRQ, now + LAGRQ_INTERVAL_S)
                self._send(FrameType.IAX, IaxSubclass.LAGRQ, now=now)
            case Timer.REKEY:
                rotate(self._channel, self.voice, self._services, now)
            case Timer.LINGER:
                self._services.forget(self, now)
            case _:
                self._hang_up(EndReason.NO_RESPONSE, now, Cause.NO_USER_RESPONSE)

    def _start_voice(self, media_format: Format, now: float) -> None:
        """Open the voice path and the call's regular queries."""
        self.voice = self._channel.voice_path(media_format)
        self._services.route_voice(self, now)
        self._timers.start(Timer.PING, now + PING_INTERVAL_S)
        self._timers.start(Timer.LAGRQ, now + LAGRQ_INTERVAL_S)
        schedule_rotation(self._timers, self._rekey_s, now)

    def _advance(self, event: Input) -> None:
        """Move the state; the one place that assigns it.

        Raises:
            LocalProtocolError: the table does not allow it.
        """
        try:
            self.state = TRANSITIONS[self.state, event]
        except KeyError:
            raise LocalProtocolError(f"{event.name} in state {self.state.name}") from None

    def _hang_up(
        self, reason: EndReason, now: float, cause: int, event: Input = Input.HANG_UP
    ) -> None:
        """Tell the peer, tell the driver, and wait for the peer's acknowledgement."""
        if self.peer_call_number == CALL_NUMBER_NONE:
            self._end(Input.GIVE_UP, reason, now)
            return
        self._advance(event)
        self._timers.stop_all()
        self._rekey_s = None  # though an RTKEY may be acknowledged yet
        elements = InformationElements.of((ElementType.CAUSECODE, (cause, 1)))
        subclass = IaxSubclass.REJECT if event is Input.REJECT else IaxSubclass.HANGUP
        # However much is outstanding: a peer that still listens must learn that this is the end.
        self._channel.send(FrameType.IAX, subclass, elements.encode(), now=now, tag=_FINAL)
        self._tell_end(reason)
        self._services.reschedule(self)

    def _end(self, event: Input, reason: EndReason, now: float, cause: int | None = None) -> None:
        """End at once; the call stays a while to acknowledge what the peer sends again."""
        self._advance(event)
        self._timers.stop_all()
        self._channel.sequence.drop_outstanding()
        self._timers.start(Timer.LINGER, now + LINGER_S)
        self._tell_end(reason, cause)
        self._services.reschedule(self)

    def _tell_end(self, reason: EndReason, cause: int | None = None) -> None:
        if not self._end_told:
            self._end_told = True
            self._services.emit(CallEnded(self, reason, cause))
