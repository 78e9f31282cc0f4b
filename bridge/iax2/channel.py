"""The full frames of one call on the wire: numbered, encrypted, judged and counted.

Owns call numbers, sequence, timestamps and keys. Knows nothing of states or handshakes.
"""

from collections.abc import Callable, Container, Iterator, Sequence
from struct import Struct
from typing import Final, TypeGuard

from bridge.iax2.auth import Address
from bridge.iax2.cipher import FULL_CLEAR_OCTETS, Opener, Sealer, encrypted_octets
from bridge.iax2.clock import TIMESTAMP_MODULUS, ReceiveClock
from bridge.iax2.constants import (
    CALL_NUMBER_NONE,
    CALL_NUMBER_STATELESS,
    ElementType,
    Format,
    FrameType,
    IaxSubclass,
)
from bridge.iax2.elements import InformationElements
from bridge.iax2.errors import FrameError, LocalProtocolError
from bridge.iax2.frames import FULL_HEADER_OCTETS, FullFrame, parse_frame_untrusted
from bridge.iax2.inputs import is_unsequenced
from bridge.iax2.keys import KeyOrigin, KeyUse, ReceiveKeys
from bridge.iax2.plausibility import is_echo, is_plausible
from bridge.iax2.reliability import Order, Outstanding, ReliableSequence
from bridge.iax2.services import FrameWatch
from bridge.iax2.statistics import ChannelStatistics
from bridge.iax2.voice import VoicePath

_IAX_SUBCLASSES: Final = frozenset(IaxSubclass)
_ACK_OCTETS: Final = FULL_CLEAR_OCTETS + encrypted_octets(FULL_HEADER_OCTETS - FULL_CLEAR_OCTETS)
_ACK_NUMBERS: Final = Struct("!IBB")
"""Of a full frame (see `frames`), what is encrypted before type and subclass."""
_ACK_TYPE_AT: Final = _ACK_NUMBERS.size
_ACK_TYPE: Final = bytes((FrameType.IAX, IaxSubclass.ACK))
_STATELESS: Final = (0x8000 | CALL_NUMBER_STATELESS).to_bytes(2, "big")
_ENDS: Final = frozenset({IaxSubclass.HANGUP, IaxSubclass.REJECT, IaxSubclass.INVAL})


class FrameChannel:
    """Both directions of a call's full frames.

    Attributes:
        peer_call_number: The peer's, 0 until its first frame told it.
        sequence: What is numbered, acknowledged and sent again.
        clock: The peer's timestamps.
        sealer, sending: Our key, and whence it is; None while the call is in clear.
        keys: The peer's; None while the call is in clear.
        statistics: What was seen.
    """

    def __init__(
        self,
        call_number: int,
        address: Address,
        transmit: Callable[[bytes, Address], None],
        watch: FrameWatch | None = None,
    ) -> None:
        self.call_number = call_number
        self.address = address
        self.peer_call_number = CALL_NUMBER_NONE
        self.sequence = ReliableSequence()
        self.clock = ReceiveClock()
        self.statistics = ChannelStatistics()
        self.sealer: Sealer | None = None
        self.sending: KeyUse | None = None
        self.keys: ReceiveKeys | None = None
        self._transmit = transmit
        self._watch = watch
        self._started_at = 0.0
        self._last_timestamp_ms = 0

    def start(self, now: float, first_timestamp_ms: int = 0) -> None:
        """Begin, or begin anew after a call token: timestamps and sequence from the start."""
        self._started_at = now - first_timestamp_ms / 1000
        self._last_timestamp_ms = first_timestamp_ms
        self.sequence.reset()

    def learn_peer(self, frame: FullFrame, now: float) -> None:
        """Take the peer's call number and time from the first frame of its own."""
        self.peer_call_number = frame.source_call_number
        self.clock.set(frame.timestamp_ms, now)

    def encrypt_with(self, sealer: Sealer, opener: Opener, now: float) -> None:
        """Encrypt from now on everything that is sent, and believe nothing else received."""
        self.sealer = sealer
        self.sending = KeyUse(KeyOrigin.HANDSHAKE, now)
        self.keys = ReceiveKeys(opener, now)

    def rotate(self, key: bytes, sealer: Sealer, now: float, tag: object) -> None:
        """Announce a key under the one before, and encrypt with it from the next frame on.

        What waits for its acknowledgement keeps its key, and so does this RTKEY. The peer may use
        the new key for reading before we know, so nothing may be sent under the old one any more.

        Source: Asterisk chan_iax2, iax2_key_rotate(); not in RFC 5456.
        """
        data = InformationElements.of((ElementType.CHALLENGE, key)).encode()
        self.send(FrameType.IAX, IaxSubclass.RTKEY, data, now=now, tag=tag)
        self.sealer = sealer
        self.sending = KeyUse(KeyOrigin.OURS, now)

    def voice_path(self, media_format: Format) -> VoicePath:
        """Return the path for this call's voice, under its keys and on its clocks.

        Raises:
            LocalProtocolError: the call is not encrypted.
        """
        if self.keys is None or self.sealer is None:
            raise LocalProtocolError("voice without encryption")
        return VoicePath(
            media_format=media_format,
            source_call_number=self.call_number,
            peer=(self.address, self.peer_call_number),
            ciphers=(self.sealer, self.keys.current),
            clock=self.clock,
            started_at=self._started_at,
            sequence=self.sequence if self._watch is None else None,
            statistics=self.statistics,
        )

    def send(
        self,
        frame_type: int,
        subclass: int,
        data: bytes = b"",
        *,
        now: float,
        timestamp_ms: int | None = None,
        tag: object = None,
    ) -> None:
        """Send a frame that is retransmitted until acknowledged; `tag` comes back then.

        `timestamp_ms` is given for voice and for echoes, and drawn from the clock otherwise.
        """
        if timestamp_ms is None:
            timestamp_ms = self._next_timestamp_ms(now)
        sealer = self.sealer
        frame = self._frame(frame_type, subclass, timestamp_ms, data)
        self.sequence.record(frame, sealer, now, tag)
        self._put(frame, sealer)

    def send_unsequenced(self, subclass: IaxSubclass, now: float) -> None:
        """Send a VNAK or INVAL."""
        timestamp_ms = self._next_timestamp_ms(now)
        self._put(self._frame(FrameType.IAX, subclass, timestamp_ms), self.sealer)

    def acknowledge(self, frame: FullFrame) -> None:
        """Send an ACK, which echoes the frame's timestamp."""
        self.sequence.acknowledgement_owed = False
        ack = self._frame(FrameType.IAX, IaxSubclass.ACK, frame.timestamp_ms)
        self._put(ack, self.sealer)

    def retransmit(self, waiting: Outstanding) -> None:
        """Send a frame again: R bit, current iseqno, fresh padding, the key of its first time.

        Source: Asterisk issue 14607 for the key.
        """
        frame = waiting.frame
        self.statistics.retransmitted += 1
        again = FullFrame(
            frame.source_call_number,
            self.peer_call_number,
            frame.timestamp_ms,
            frame.oseqno,
            self.sequence.iseqno,
            frame.frame_type,
            frame.subclass,
            frame.data,
            retransmission=True,
        )
        self._put(again, waiting.sealer)

    def open(self, datagram: bytes, now: float) -> FullFrame | None:
        """Return the frame of a datagram where it is believed, else None: counted."""
        if self.keys is None:
            return self._open_clear(datagram)
        frame = self.keys.open(datagram, lambda frame: self.judges_plausible(frame, now), now)
        if frame is None:
            self._count_unbelieved(datagram)
            return None
        self.statistics.received_encrypted += 1
        if self._is_fresh(frame):
            self._follow(frame, now)
        return frame

    def take_ack(self, datagram: bytes, now: float) -> Sequence[Outstanding] | None:
        """Return what an ACK acknowledges; None, and nothing has changed, for all that is none.

        Half of all full frames are ACKs under the key in use. So they are told from the others by
        what `open` would find of them, without its doubts and without a frame made of them.
        """
        keys = self.keys
        if keys is None or self._watch is not None or len(datagram) != _ACK_OCTETS:
            return None
        body = keys.current.decrypt(datagram[FULL_CLEAR_OCTETS:])
        if body is None or body[_ACK_TYPE_AT:] != _ACK_TYPE or datagram[:2] == _STATELESS:
            return None
        timestamp_ms, oseqno, iseqno = _ACK_NUMBERS.unpack_from(body)
        sequence = self.sequence
        if not (sequence.has_plausible_numbers(oseqno, iseqno) and sequence.has_sent(timestamp_ms)):
            return None
        self.statistics.received_encrypted += 1
        return sequence.acknowledge(iseqno, now)

    def since_s(self, timestamp_ms: int, now: float) -> float:
        """Return how long ago, in seconds, we wrote a timestamp that a peer echoes."""
        return (self._elapsed_ms(now) - timestamp_ms) % TIMESTAMP_MODULUS / 1000

    def deliver(self, frame: FullFrame, now: float) -> Iterator[FullFrame]:
        """Yield what is due in the sequence: the frame, and those that were held behind it.

        What was yielded is acknowledged when the next one is asked for, unless the receiver has
        sent a frame meanwhile, which does that as well.
        """
        order = self.sequence.order_of(frame.oseqno)
        if order is Order.AHEAD:
            self._take_early(frame, now)
        elif order is Order.BEHIND:
            self.acknowledge(frame)
        else:
            due: FullFrame | None = frame
            while due is not None:
                self.sequence.accept()
                yield due
                if self.sequence.acknowledgement_owed:
                    self.acknowledge(due)
                due = self.sequence.pop_held()

    def answer_vnak(self, vnak: FullFrame, now: float) -> None:
        """Send again what a peer misses."""
        for waiting in self.sequence.answer_vnak(vnak.iseqno, now):
            self.retransmit(waiting)

    def _take_early(self, frame: FullFrame, now: float) -> None:
        """Keep a frame that overtook another, and ask for the one that is missing."""
        self.statistics.out_of_order += 1
        if self.keys is not None:
            self.sequence.hold(frame)
        if self.sequence.may_send_vnak(now):
            self.send_unsequenced(IaxSubclass.VNAK, now)

    def _is_fresh(self, frame: FullFrame) -> bool:
        """Tell a frame that left the peer just now from late, repeated and replayed ones."""
        return not (
            is_echo(frame)
            or is_unsequenced(frame)
            or frame.retransmission
            or self.sequence.order_of(frame.oseqno) is Order.BEHIND
        )

    def _follow(self, frame: FullFrame, now: float) -> None:
        if frame.frame_type == FrameType.VOICE:
            self.clock.set(frame.timestamp_ms, now)
        else:
            self.clock.hear(frame.timestamp_ms, now)
            self.clock.follow(self.clock.deviation_ms(frame.timestamp_ms, now))

    def open_clear(self, datagram: bytes, subclasses: Container[int]) -> FullFrame | None:
        """Return an IAX frame in clear of one of these subclasses, else None: not counted."""
        try:
            frame = parse_frame_untrusted(datagram)
        except FrameError:
            return None
        if not self._looks_clear(frame) or frame.subclass not in subclasses:
            return None
        self.statistics.received_clear += 1
        return frame

    def judges_plausible(self, frame: FullFrame, now: float) -> bool:
        """Tell whether a decrypted frame can belong to this call now."""
        return is_plausible(frame, self.sequence, self.clock, now)

    def _open_clear(self, datagram: bytes) -> FullFrame | None:
        try:
            frame = parse_frame_untrusted(datagram)
        except FrameError:
            frame = None
        if not isinstance(frame, FullFrame):
            self.statistics.dropped_malformed += 1
            return None
        self.statistics.received_clear += 1
        return frame

    def _count_unbelieved(self, datagram: bytes) -> None:
        """Tell a frame in clear from garbage; a retransmitted AUTHREQ is an honest one."""
        try:
            frame = parse_frame_untrusted(datagram)
        except FrameError:
            self.statistics.dropped_malformed += 1
            return
        if not self._looks_clear(frame):
            self.statistics.dropped_implausible += 1
        elif frame.subclass == IaxSubclass.AUTHREQ:
            self.statistics.repeated_challenges += 1
        else:
            self.statistics.dropped_clear += 1
            self.statistics.accepted_in_clear += frame.subclass == IaxSubclass.ACCEPT
            self.statistics.ends_in_clear += frame.subclass in _ENDS

    def _looks_clear(self, frame: object) -> TypeGuard[FullFrame]:
        return (
            isinstance(frame, FullFrame)
            and frame.frame_type == FrameType.IAX
            and frame.subclass in _IAX_SUBCLASSES
            and self.sequence.has_plausible_numbers(frame.oseqno, frame.iseqno)
        )

    def _frame(
        self, frame_type: int, subclass: int, timestamp_ms: int, data: bytes = b""
    ) -> FullFrame:
        sequence = self.sequence
        return FullFrame(
            self.call_number,
            self.peer_call_number,
            timestamp_ms,
            sequence.oseqno,
            sequence.iseqno,
            frame_type,
            subclass,
            data,
        )

    def _put(self, frame: FullFrame, sealer: Sealer | None) -> None:
        if self._watch is not None:
            self._watch.sent(frame, self.address, encrypted=sealer is not None)
        if sealer is None:
            self.statistics.sent_clear += 1
            self._transmit(frame.encode(), self.address)
        else:
            self.statistics.sent_encrypted += 1
            self._transmit(sealer.seal_full(frame.encode()), self.address)

    def _next_timestamp_ms(self, now: float) -> int:
        """Return a timestamp that no earlier frame of ours carried."""
        elapsed_ms = self._elapsed_ms(now)
        ahead_ms = (elapsed_ms - self._last_timestamp_ms) % TIMESTAMP_MODULUS
        if ahead_ms == 0 or ahead_ms > TIMESTAMP_MODULUS // 2:
            elapsed_ms = (self._last_timestamp_ms + 1) % TIMESTAMP_MODULUS
        self._last_timestamp_ms = elapsed_ms
        return elapsed_ms

    def _elapsed_ms(self, now: float) -> int:
        return int((now - self._started_at) * 1000) % TIMESTAMP_MODULUS
