"""The voice of one established call: mini frames sealed and opened, nothing else.

This is the engine's fast path, called for each packet by whoever relays audio. It owns what is
allowed as a mini frame and counts what is not. Reliable frames belong to the call.

Source: RFC 5456 sections 8.1.2 and 7.2; plausibility is ours, since IAX2 has no MAC.
"""

from struct import Struct
from typing import Final

from bridge.iax2.auth import Address
from bridge.iax2.cipher import MINI_CLEAR_OCTETS, Opener, Sealer, encrypted_octets
from bridge.iax2.clock import MINI_MODULUS, TIMESTAMP_MODULUS, ReceiveClock
from bridge.iax2.constants import Format

FRAME_MS: Final = 20
FRAME_OCTETS: Final = {Format.ULAW: 160, Format.ALAW: 160, Format.G722: 160, Format.GSM: 33}
"""Octets of 20 ms of voice."""

_TIMESTAMP: Final = Struct("!H")
_FULL_FRAME_EVERY_MS: Final = 0x8000
_DEVIATION_MAX_MS: Final = 1000
_JITTER_GAIN: Final = 1 / 16


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
    """

    __slots__ = (
        "_clear_header",
        "_clock",
        "_datagram_octets",
        "_deviation_ms",
        "_first_timestamp_ms",
        "_full_frame_period",
        "_started_at",
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
    ) -> None:
        address, peer_call_number = peer
        self.format = media_format
        self.frame_octets = FRAME_OCTETS[media_format]
        self.route = (address, peer_call_number.to_bytes(MINI_CLEAR_OCTETS, "big"))
        self.sealer, self.opener = ciphers
        self.sent = self.received = self.dropped_size = self.dropped_implausible = 0
        self._clear_header = source_call_number.to_bytes(MINI_CLEAR_OCTETS, "big")
        self._datagram_octets = MINI_CLEAR_OCTETS + encrypted_octets(
            _TIMESTAMP.size + self.frame_octets
        )
        self._clock = clock
        self._started_at = started_at
        self._full_frame_period = -1
        self._first_timestamp_ms = self.last_timestamp_ms = self._deviation_ms = 0
        self.jitter_ms = 0.0
        self.out_of_order = 0

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
        body = _TIMESTAMP.pack(timestamp_ms % MINI_MODULUS) + payload
        return self._clear_header + self.sealer.encrypt(body)

    def open(self, datagram: bytes, now: float) -> tuple[int, bytes] | None:
        """Return (timestamp in ms, payload) of a mini frame, or None: dropped and counted.

        A frame is believed when its size is the format's, its padding leaves exactly one voice
        frame, and its timestamp is within one second of its time.
        """
        if len(datagram) != self._datagram_octets:
            self.dropped_size += 1
            return None
        body = self.opener.decrypt(datagram[MINI_CLEAR_OCTETS:])
        if body is None or len(body) != _TIMESTAMP.size + self.frame_octets:
            self.dropped_implausible += 1
            return None
        timestamp_ms, deviation_ms = self._clock.unwrap(body[0] << 8 | body[1], now)
        if not -_DEVIATION_MAX_MS <= deviation_ms <= _DEVIATION_MAX_MS:
            self.dropped_implausible += 1
            return None
        self._clock.follow(deviation_ms)
        self._measure(timestamp_ms, deviation_ms)
        return timestamp_ms, body[_TIMESTAMP.size :]

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

    def _measure(self, timestamp_ms: int, deviation_ms: int) -> None:
        if not self.received:
            self._first_timestamp_ms = self.last_timestamp_ms = timestamp_ms
        self.received += 1
        if (timestamp_ms - self.last_timestamp_ms) % TIMESTAMP_MODULUS < TIMESTAMP_MODULUS // 2:
            self.last_timestamp_ms = timestamp_ms
        else:
            self.out_of_order += 1
        self.jitter_ms += _JITTER_GAIN * (abs(deviation_ms - self._deviation_ms) - self.jitter_ms)
        self._deviation_ms = deviation_ms
