"""The voice of one established call: mini frames sealed and opened, nothing else.

This is the engine's fast path, called for each packet by whoever relays audio. It owns what is
allowed as a mini frame and counts what is not. Reliable frames belong to the call.

Source: RFC 5456 sections 8.1.2 and 7.2; plausibility is ours, since IAX2 has no MAC.
"""

import math
from struct import Struct
from typing import Final

from bridge.iax2.auth import Address
from bridge.iax2.cipher import MINI_CLEAR_OCTETS, Opener, Sealer, encrypted_octets
from bridge.iax2.clock import MINI_MODULUS, TIMESTAMP_MODULUS, ReceiveClock
from bridge.iax2.constants import Format
from bridge.iax2.keys import ReceiveKeys
from bridge.iax2.reliability import ReliableSequence
from bridge.iax2.statistics import ChannelStatistics

FRAME_MS: Final = 20
FRAME_OCTETS: Final = {
    Format.ULAW: 160,
    Format.ALAW: 160,
    Format.G722: 160,
    Format.GSM: 33,
    Format.ILBC: 38,
    Format.G729: 20,
}
"""Octets of 20 ms of voice."""

_TIMESTAMP: Final = Struct("!H")
_TIMESTAMP_OCTETS: Final = _TIMESTAMP.size
_pack_timestamp: Final = _TIMESTAMP.pack
_FULL_FRAME_EVERY_MS: Final = 0x8000
_HALF_MODULUS: Final = TIMESTAMP_MODULUS // 2
_DEVIATION_MAX_MS: Final = 1000
_JITTER_GAIN: Final = 1 / 16
_TOLERANCE_MS: Final = 120
_TOLERANCE_JITTERS: Final = 4
"""How far from its time voice is believed that leaves a gap or comes late.

After a stall a bridge makes up for five frames at once.
"""
_AGREEING_ON_PLACE: Final = 2
_AGREEING_ON_CLOCK: Final = 3
"""So many mini frames in a row that agree prove that they, and not we, know the peer's time."""
_ROTATION_S: Final = 2.0
"""How long frames under the key before may still come."""


class VoicePath:
    """Both directions of a call's voice, from its ACCEPT on.

    Attributes:
        route: The peer's address and the first two octets of its mini frames.
        format: The media format of both directions.
        frame_octets: Size of a 20 ms frame in the clear.
        sent, received: Frames; `received` counts believed ones alone.
        dropped_size, dropped_implausible: Mini frames not believed.
        jitter_ms: Interarrival jitter of the peer's voice (RFC 3550 section 6.4.1).
        out_of_order: Voice frames older than one that came before.
        sequence, statistics: Of the call's full frames: a compiled fast path takes their ACKs, too,
            where `sequence` is given.
    """

    __slots__ = (
        "_agreeing",
        "_body_octets",
        "_clear_header",
        "_clock",
        "_datagram_octets",
        "_deviation_ms",
        "_first_timestamp_ms",
        "_full_frame_period",
        "_rivals",
        "_rivals_until",
        "_started_at",
        "_unplaced_ms",
        "dropped_implausible",
        "dropped_size",
        "format",
        "frame_octets",
        "jitter_ms",
        "last_timestamp_ms",
        "opener",
        "out_of_order",
        "received",
        "route",
        "sealer",
        "sent",
        "sequence",
        "statistics",
    )

    def __init__(
        self,
        *,
        media_format: Format,
        source_call_number: int,
        peer: tuple[Address, int],
        ciphers: tuple[Sealer, Opener],
        clock: ReceiveClock,
        started_at: float,
        sequence: ReliableSequence | None = None,
        statistics: ChannelStatistics | None = None,
    ) -> None:
        address, peer_call_number = peer
        self.format = media_format
        self.frame_octets = FRAME_OCTETS[media_format]
        self.route = (address, peer_call_number.to_bytes(MINI_CLEAR_OCTETS, "big"))
        self.sealer, self.opener = ciphers
        self.sent = self.received = self.dropped_size = self.dropped_implausible = 0
        self._clear_header = source_call_number.to_bytes(MINI_CLEAR_OCTETS, "big")
        self._body_octets = _TIMESTAMP_OCTETS + self.frame_octets
        self._datagram_octets = MINI_CLEAR_OCTETS + encrypted_octets(self._body_octets)
        self._clock = clock
        self._started_at = started_at
        self.sequence = sequence
        self.statistics = statistics
        self._full_frame_period = -1
        self._first_timestamp_ms = self.last_timestamp_ms = self._deviation_ms = 0
        self.jitter_ms = 0.0
        self.out_of_order = 0
        self._agreeing = self._unplaced_ms = 0
        self._rivals: tuple[Opener, ...] = ()
        self._rivals_until = math.inf

    def use_keys(self, keys: ReceiveKeys, now: float) -> None:
        """Decrypt with the current key; frames may be under one announced or before it, too."""
        self.opener = keys.current
        self._rivals = keys.announced + keys.previous
        self._rivals_until = math.inf if keys.announced else now + _ROTATION_S

    def elapsed_ms(self, now: float) -> int:
        """Return the call's own timestamp, in milliseconds since its first frame."""
        return int((now - self._started_at) * 1000) % TIMESTAMP_MODULUS

    def start_period(self, timestamp_ms: int) -> None:
        """Take note of voice that goes out as a full frame.

        The first one is full, and one each 32.768 s: minis carry 16 bits alone, and the RFC
        contradicts itself on which bit counts (0x8000 or 0x10000). This satisfies both.
        """
        self.sent += 1
        self._full_frame_period = timestamp_ms // _FULL_FRAME_EVERY_MS

    def seal(self, payload: bytes, timestamp_ms: int) -> bytes | None:
        """Return an encrypted mini frame ready to send, or None where a full frame is due.

        Then hand the same payload and timestamp to `Call.send_voice`.

        Args:
            payload: Exactly `frame_octets` octets of voice.
            timestamp_ms: On the call's 20 ms grid, see `elapsed_ms`.
        """
        if timestamp_ms // _FULL_FRAME_EVERY_MS != self._full_frame_period:
            return None
        self.sent += 1
        body = _pack_timestamp(timestamp_ms % MINI_MODULUS) + payload
        return self._clear_header + self.sealer.encrypt(body)

    def open(self, datagram: bytes, now: float) -> tuple[int, bytes] | None:
        """Return (timestamp in ms, payload) of a mini frame, or None: dropped and counted.

        A frame is believed when its size is the format's, its padding leaves exactly one voice
        frame, and its timestamp is within one second of its time. One in 500 under another key
        passes that: so while the peer changes keys, it must not pass under another one too; and
        what is not just the next frame must be where one can be, since it may be under a key
        whose RTKEY is still under way.
        """
        if len(datagram) != self._datagram_octets:
            self.dropped_size += 1
            return None
        body = self.opener.decrypt(datagram[MINI_CLEAR_OCTETS:])
        if body is None or len(body) != self._body_octets:
            self.dropped_implausible += 1
            self._agreeing = 0
            return None
        timestamp_ms, deviation_ms = self._clock.unwrap(body[0] << 8 | body[1], now)
        if not -_DEVIATION_MAX_MS <= deviation_ms <= _DEVIATION_MAX_MS:
            if not self._is_clock_late(deviation_ms):
                self.dropped_implausible += 1
                return None
            self._clock.set(timestamp_ms, now)
            deviation_ms = 0
        elif (self._rivals and self._passes_rival(datagram, now)) or (
            timestamp_ms - self.last_timestamp_ms != FRAME_MS
            and not self._is_in_place(timestamp_ms, deviation_ms)
        ):
            self.dropped_implausible += 1
            return None
        if deviation_ms:
            self._clock.follow(deviation_ms)
        self._measure(timestamp_ms, deviation_ms)
        return timestamp_ms, body[_TIMESTAMP_OCTETS:]

    def take_full_frame(self, timestamp_ms: int, now: float) -> None:
        """Count voice that came in a full frame, be it new, sent again or held back."""
        self._clock.hear(timestamp_ms, now)
        self._measure(timestamp_ms, 0)

    @property
    def lost(self) -> int:
        """How many of the peer's voice frames did not arrive, judged by timestamps."""
        if not self.received:
            return 0
        span_ms = (self.last_timestamp_ms - self._first_timestamp_ms) % TIMESTAMP_MODULUS
        return max(span_ms // FRAME_MS + 1 - self.received, 0)

    def _is_clock_late(self, deviation_ms: int) -> bool:
        """Tell whether our idea of the peer's time is from a frame that came late.

        A call that begins with loss knows no other, and all voice seems to be ahead of its time.
        Frames under another key do not agree on by how much, nor come in a row.
        """
        agreeing = self._count_agreeing(deviation_ms, _DEVIATION_MAX_MS)
        if deviation_ms < 0 or self._rivals or agreeing < _AGREEING_ON_CLOCK:
            return False
        self._agreeing = 0
        return True

    def _is_in_place(self, timestamp_ms: int, deviation_ms: int) -> bool:
        """Tell whether a frame that is not just the next one is where the peer's voice can be.

        That is whole frames from the newest one, and as near to its time as jitter allows; or
        where the frame before it was, as when the peer's voice begins anew. A frame under a key
        that we do not know is there once in some 80,000 times.
        """
        tolerance_ms = _TOLERANCE_MS + _TOLERANCE_JITTERS * self.jitter_ms
        ahead_ms = (timestamp_ms - self.last_timestamp_ms) % TIMESTAMP_MODULUS
        behind_ms = TIMESTAMP_MODULUS - ahead_ms
        fits = not self.received or min(ahead_ms, behind_ms) % FRAME_MS == 0
        if fits and abs(deviation_ms) <= tolerance_ms:
            return True
        jump_ms = abs(deviation_ms - self._deviation_ms)
        self.jitter_ms += _JITTER_GAIN * (jump_ms - self.jitter_ms)
        return self._count_agreeing(deviation_ms, tolerance_ms) >= _AGREEING_ON_PLACE

    def _count_agreeing(self, deviation_ms: int, tolerance_ms: float) -> int:
        """Count frames that are out of place by as much, without garbage between them."""
        agrees = abs(deviation_ms - self._unplaced_ms) <= tolerance_ms
        self._agreeing = self._agreeing + 1 if agrees and self._agreeing else 1
        self._unplaced_ms = deviation_ms
        return self._agreeing

    def _passes_rival(self, datagram: bytes, now: float) -> bool:
        """Tell whether a frame is as plausible under another key of a rotation."""
        if now > self._rivals_until:
            self._rivals = ()
        for rival in self._rivals:
            body = rival.decrypt(datagram[MINI_CLEAR_OCTETS:])
            if body is not None and len(body) == self._body_octets:
                _, deviation_ms = self._clock.unwrap(body[0] << 8 | body[1], now)
                if abs(deviation_ms) <= _DEVIATION_MAX_MS:
                    return True
        return False

    def _measure(self, timestamp_ms: int, deviation_ms: int) -> None:
        if not self.received:
            self._first_timestamp_ms = self.last_timestamp_ms = timestamp_ms
        self.received += 1
        if (timestamp_ms - self.last_timestamp_ms) % TIMESTAMP_MODULUS < _HALF_MODULUS:
            self.last_timestamp_ms = timestamp_ms
        else:
            self.out_of_order += 1
        self.jitter_ms += _JITTER_GAIN * (abs(deviation_ms - self._deviation_ms) - self.jitter_ms)
        self._deviation_ms = deviation_ms
