"""Digits in RTP, the payload of RFC 4733: packets in, digits out, and the other way round.

Owns what makes many packets one key press. Must not know sockets, calls, or who wants the digits.
"""

import struct
from collections import deque
from typing import Final

DIGITS: Final = "0123456789*#ABCD"
"""The digits in the order of their event codes, 0 to 15 (RFC 4733 section 3.2)."""

#  0                   1                   2                   3
#  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
# +---------------+-+-+-----------+-------------------------------+
# |     event     |E|R| volume    |          duration             |
# +---------------+-+-+-----------+-------------------------------+
_EVENT: Final = struct.Struct("!BBH")
_END: Final = 0x80
_VOLUME: Final = 10
"""-10 dBm0, should the other end play the tones."""

_TIMESTAMP_MASK: Final = 0xFFFF_FFFF
_HALF_OF_TIMESTAMPS: Final = 0x8000_0000
_DURATION_MAX: Final = 0xFFFF
_EVENTS_IN_PAYLOAD_MAX: Final = 8
_EVENTS_REMEMBERED: Final = 32
_LATE_S: Final = 2
"""No network delays a packet that long; in that time nobody sends more events than we remember."""
_SEGMENT_ROUNDING: Final = 480
"""Senders end a segment on a whole packet, of 60 ms at most, rather than at the last sample."""


class TelephoneEventReceiver:
    """Reports each digit of one RTP stream once, however its packets are lost or repeated.

    All packets of an event share its RTP timestamp and code. It is reported when the first of
    them arrives, whichever that is: nothing later can change the digit, the end packets may all
    be lost, and waiting for them would add the length of the key press to the delay.
    A receiver serves one SSRC; the timestamps of the next one mean nothing to it.

    RFC 4733 section 2.5.2.
    """

    __slots__ = ("_clock_rate_hz", "_code", "_duration", "_ended", "_recent", "_start")

    def __init__(self, clock_rate_hz: int = 8000) -> None:
        self._clock_rate_hz = clock_rate_hz
        self._recent: deque[tuple[int, int]] = deque(maxlen=_EVENTS_REMEMBERED)
        # The newest event, of which there is none as long as nothing is remembered.
        self._start = 0
        self._code = 0
        self._duration = 0
        self._ended = False

    def receive(
        self,
        rtp_timestamp: int,
        marker: bool,  # noqa: FBT001 - as the header has it, and in its order
        payload: bytes,
    ) -> str | None:
        """Take the next packet in order of arrival; a payload of any content is allowed.

        Returns:
            The digit of an event not seen before, or None. A packet that carries several short
            events, each beginning where the one before it ended, can give several digits.

        RFC 4733 sections 2.3 and 2.5.1.5.
        """
        digits = ""
        octets = min(len(payload), _EVENTS_IN_PAYLOAD_MAX * _EVENT.size)
        for offset in range(0, octets - _EVENT.size + 1, _EVENT.size):
            code, flags, duration = _EVENT.unpack_from(payload, offset)
            if offset and not duration:
                break  # padding: some senders fill their packets with zeros
            ended = bool(flags & _END)
            if self._begins(rtp_timestamp, code, marker=marker) and code < len(DIGITS):
                digits += DIGITS[code]
            if (rtp_timestamp, code) == (self._start, self._code):
                self._duration = max(self._duration, duration)
                self._ended |= ended
            if not ended:
                break
            rtp_timestamp = (rtp_timestamp + duration) & _TIMESTAMP_MASK
        return digits or None

    def _begins(self, start: int, code: int, *, marker: bool) -> bool:
        """Tell whether a packet belongs to an event not seen before, and remember that event."""
        if (start, code) in self._recent:
            return False
        ahead = (start - self._start) & _TIMESTAMP_MASK
        older = bool(self._recent) and ahead >= _HALF_OF_TIMESTAMPS
        replayed = older and -ahead & _TIMESTAMP_MASK > _LATE_S * self._clock_rate_hz
        if replayed and not marker:
            return False
        continued = bool(self._recent) and not marker and self._is_next_segment(ahead, code)
        self._recent.append((start, code))
        # A marker on an old timestamp: the sender has restarted its clock.
        if replayed or not older:
            self._start, self._code, self._duration, self._ended = start, code, 0, False
        return not continued

    def _is_next_segment(self, ahead: int, code: int) -> bool:
        """Tell whether an event that begins so far after the newest one is the same key press.

        A press of more than 65535 samples is reported in segments, each with a timestamp of its
        own, and without an end or a marker between them.

        RFC 4733 section 2.5.1.3.
        """
        return (
            code == self._code
            and not self._ended
            and _DURATION_MAX - _SEGMENT_ROUNDING <= ahead <= _DURATION_MAX + 1
            and ahead - self._duration <= self._clock_rate_hz
        )


_PACKET_MS: Final = 20
_END_PACKETS: Final = 3


class TelephoneEventSender:
    """Turns digits into the packets of one RTP stream, one each 20 ms while there is work.

    A digit lasts `duration_ms` and is followed by at least `gap_ms` without one, counted from its
    end, during which its two repeated end packets leave. At most `queue_max` digits wait.

    RFC 4733 section 2.5.1.
    """

    __slots__ = ("_gap_packets", "_packet_samples", "_packets", "_queue", "_queue_max", "_sent")

    def __init__(
        self,
        clock_rate_hz: int = 8000,
        *,
        duration_ms: int = 100,
        gap_ms: int = 50,
        queue_max: int = 32,
    ) -> None:
        self._packet_samples = clock_rate_hz * _PACKET_MS // 1000
        self._packets = max(1, -(-duration_ms // _PACKET_MS))
        self._gap_packets = max(_END_PACKETS - 1, -(-gap_ms // _PACKET_MS))
        self._queue: deque[int] = deque()
        self._queue_max = queue_max
        self._sent = 0

    def queue(self, digit: str) -> bool:
        """Add a digit; False, and nothing is sent, when it is none or too many are waiting."""
        code = DIGITS.find(digit.upper()) if len(digit) == 1 else -1
        if code < 0 or len(self._queue) >= self._queue_max:
            return False
        self._queue.append(code)
        return True

    @property
    def active(self) -> bool:
        """Whether a digit is being sent, its gap included, or waits."""
        return bool(self._queue)

    def next_packet(self) -> tuple[bool, int, bytes] | None:
        """Return what to send now; to be called once each 20 ms while `active`.

        Returns:
            Marker, the samples to add to the stream's present timestamp (0 for the packet with
            the marker, then negative, so that all packets of a digit have the same one), and the
            payload. None when nothing but audio is due, as in the gap between two digits. A caller
            whose clock may jump keeps the timestamp that it gave to the packet with the marker.
        """
        if not self._queue:
            return None
        index = self._sent
        self._sent += 1
        last = self._packets - 1
        packet = None
        if index < self._packets + _END_PACKETS - 1:
            flags = _VOLUME | (_END if index >= last else 0)
            duration = (min(index, last) + 1) * self._packet_samples
            payload = _EVENT.pack(self._queue[0], flags, duration)
            packet = (index == 0, -index * self._packet_samples, payload)
        if self._sent == self._packets + self._gap_packets:
            self._queue.popleft()
            self._sent = 0
        return packet
