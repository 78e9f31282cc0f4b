"""The RTP stream toward one phone: sequence numbers and timestamps without a seam.

Its packets come from changing sources, each with a time of its own in milliseconds: the link's
frames, a tone, a digit. The phone hears one stream. Knows no sockets and no payloads.
"""

import os
from collections.abc import Callable
from typing import Final

from bridge.media.rtp import (
    MARKER,
    PLAIN,
    RTP_HEADER,
    SAMPLES_PER_MS,
    SEQUENCE_MASK,
    TIMESTAMP_MASK,
)

Entropy = Callable[[int], bytes]

_FRAME_MS: Final = 20
_GAP_FRAMES: Final = 10
"""A longer gap is a pause, which RTP shows by its timestamps alone, not as packets lost."""
_UNKNOWN: Final = -1
_HALF: Final = 0x8000_0000


class PhoneStream:
    """Numbers the packets of one SSRC (RFC 3550 section 5.1).

    Attributes:
        ssrc: Random.
        timestamp: That of the newest audio frame or digit, in samples.
        timestamp_at: When that one was due, on the caller's clock; None before the first.
    """

    __slots__ = (
        "_expected_ms",
        "_first_ms",
        "_offset_samples",
        "_sequence",
        "ssrc",
        "timestamp",
        "timestamp_at",
    )

    def __init__(self, entropy: Entropy = os.urandom) -> None:
        self.ssrc = int.from_bytes(entropy(4), "big")
        self.timestamp = int.from_bytes(entropy(4), "big")
        self.timestamp_at: float | None = None
        # The lower half: who misses our first packets must miss no wrap (RFC 3711 section 3.3.1).
        self._sequence = int.from_bytes(entropy(2), "big") >> 1
        self._offset_samples = 0
        self.change_source()

    def change_source(self) -> None:
        """Say that the next frame comes from elsewhere, with another time."""
        self._expected_ms = self._first_ms = _UNKNOWN

    def audio_header(self, source_ms: int, payload_type: int, now: float) -> bytes | None:
        """Return the header of an audio frame, or None for a duplicate or one too late.

        Args:
            source_ms: Time of the frame by its source's clock, modulo 2**32. What was lost or
                reordered on the way here is lost or reordered for the phone, too.
            payload_type: 0 to 127.
            now: When the frame came.
        """
        frames = 1
        if source_ms != self._expected_ms:
            frames, payload_type = self._place(source_ms, payload_type, now)
            if frames <= 0:
                return self._late(source_ms, frames, payload_type)
        self._expected_ms = source_ms + _FRAME_MS
        self._sequence = sequence = self._sequence + frames & SEQUENCE_MASK
        self.timestamp = timestamp = (
            self._offset_samples + source_ms * SAMPLES_PER_MS & TIMESTAMP_MASK
        )
        self.timestamp_at = now
        return RTP_HEADER.pack(PLAIN, payload_type, sequence, timestamp, self.ssrc)

    def event_header(self, payload_type: int, now: float, *, begins: bool) -> bytes:
        """Return the header of a telephone-event packet; all of a digit share a timestamp.

        RFC 4733 section 2.2.
        """
        if begins:
            self.timestamp = self._continued(now)
            self.timestamp_at = now
            payload_type |= MARKER
        self.change_source()
        self._sequence = self._sequence + 1 & SEQUENCE_MASK
        return RTP_HEADER.pack(PLAIN, payload_type, self._sequence, self.timestamp, self.ssrc)

    def timestamp_now(self, now: float) -> int:
        """Return the timestamp of a sample taken now, as a sender report needs it."""
        if self.timestamp_at is None:
            return self.timestamp
        elapsed_samples = int((now - self.timestamp_at) * 1000 * SAMPLES_PER_MS)
        return self.timestamp + elapsed_samples & TIMESTAMP_MASK

    def _place(self, source_ms: int, second_octet: int, now: float) -> tuple[int, int]:
        """Return how many frames behind the newest one an unexpected one is, and its marker."""
        if self._expected_ms == _UNKNOWN:
            self._offset_samples = self._continued(now) - source_ms * SAMPLES_PER_MS
            self._first_ms = source_ms
            return 1, second_octet | MARKER
        # Rounded, as a peer's clock may move its grid a little.
        frames = (_signed(source_ms - self._expected_ms) + _FRAME_MS * 3 // 2) // _FRAME_MS
        if frames <= _GAP_FRAMES:
            return frames, second_octet
        self._first_ms = source_ms
        return 1, second_octet | MARKER

    def _late(self, source_ms: int, frames: int, payload_type: int) -> bytes | None:
        if frames == 0 or _signed(source_ms - self._first_ms) < 0:
            return None
        timestamp = self._offset_samples + source_ms * SAMPLES_PER_MS & TIMESTAMP_MASK
        sequence = self._sequence + frames & SEQUENCE_MASK
        return RTP_HEADER.pack(PLAIN, payload_type, sequence, timestamp, self.ssrc)

    def _continued(self, now: float) -> int:
        """Return the timestamp of what begins now: whole frames after the newest one."""
        if self.timestamp_at is None:
            return self.timestamp
        frames = max(1, round((now - self.timestamp_at) * 1000 / _FRAME_MS))
        return self.timestamp + frames * _FRAME_MS * SAMPLES_PER_MS & TIMESTAMP_MASK


def _signed(difference: int) -> int:
    """Return a difference of 32-bit numbers as -2**31 to 2**31 - 1."""
    return (difference + _HALF & TIMESTAMP_MASK) - _HALF
