"""Packets of another length than the link's 20 ms: taken apart, put together, in both directions.

Stands in for the plain parts of a call whose phone wants or sends such packets, so that the others
do not pay for it. Must not know sockets, IAX2 or what a payload means: it counts octets and time.
"""

from typing import Any, Final

from bridge.media import codecs
from bridge.media.counters import MediaCounters
from bridge.media.pacing import DEEP_PULLS_MIN, FRAME_MS, PATIENCE_MAX_PULLS, PATIENCE_PULLS
from bridge.media.ports import Send
from bridge.media.rtp import (
    HEADER_OCTETS,
    MARKER,
    PAYLOAD_TYPE_MASK,
    PLAIN,
    RTP_HEADER,
    SAMPLES_PER_MS,
    SEQUENCE_MASK,
    TIMESTAMP_MASK,
)

PACKET_MS_MAX: Final = 60
DATAGRAM_OCTETS_MAX: Final = 1500
"""60 ms of G.711 take 492 octets; larger datagrams are read whole, to be refused by their size."""

_FRAMES_SPARE: Final = 3
_LATE_SAMPLES_MAX: Final = 2000 * SAMPLES_PER_MS
"""What seems to be later than that has a new clock."""
_HALF: Final = 0x8000_0000
_HALF_SEQUENCE: Final = 0x8000


class RepackingBuffer:
    """Audio of one phone by its time: packets of 10 to 60 ms go in, frames of 20 ms come out.

    One packet and what is left of a frame wait; what is left at the very end is never heard. A
    packet that misses its pull leaves the buffer deeper by one frame, which later jitter fits into,
    and 5 to 30 s without need of it take it away, as in the reorder buffer. Where packets are
    missing between others there is silence. After a pause, be it silence suppression or loss, audio
    begins anew, without the depth of before.

    Attributes:
        underruns: Pulls that found no whole frame.
        late: Packets whose turn had passed, or that came twice.
        overruns: Frames dropped because too many were waiting.
        slips: Frames dropped to return to the target.
    """

    __slots__ = (
        "_audio",
        "_deep_pulls",
        "_frame_octets",
        "_head",
        "_idle",
        "_octets_max",
        "_patience",
        "_samples",
        "_silence",
        "_unit_octets",
        "_unit_samples",
        "late",
        "overruns",
        "slips",
        "underruns",
    )

    def __init__(self, format_: int) -> None:
        """Begin empty.

        Raises:
            CodecError: The format has no table.
        """
        self.underruns = self.late = self.overruns = self.slips = 0
        self._patience = PATIENCE_PULLS
        self._frame_octets = codecs.frame_octets(format_)
        self._unit_octets, unit_ms = codecs.unit(format_)
        self._unit_samples = unit_ms * SAMPLES_PER_MS
        self._silence = codecs.silence(format_, self._frame_octets)
        packet_frames = PACKET_MS_MAX // FRAME_MS
        self._octets_max = (packet_frames + _FRAMES_SPARE) * self._frame_octets
        self.clear()

    def clear(self) -> None:
        """Forget what waits; the next packet is the first."""
        self._audio = bytearray()
        self._idle = True  # no packet yet, so `_head` means nothing
        self._head = 0  # timestamp of the first octet that waits
        self._deep_pulls = 0  # in a row, each of which has left a frame behind

    def fits(self, octets: int) -> bool:
        """Whether a payload is whole units of the codec, and not too long a packet."""
        return 0 < octets <= self._octets_max and octets % self._unit_octets == 0

    def put(self, _sequence: int, _frame: bytes) -> None:
        """Take a packet without audio, which takes no place in time."""

    def put_at(self, timestamp: int, payload: bytes) -> None:
        """Take the audio of a packet that `fits`, by its RTP timestamp."""
        ahead_samples = (timestamp - self._head + _HALF & TIMESTAMP_MASK) - _HALF
        units, rest = divmod(ahead_samples, self._unit_samples)
        at = units * self._unit_octets
        waiting = len(self._audio)
        near = ahead_samples > -_LATE_SAMPLES_MAX and at <= waiting + self._octets_max
        if self._idle or rest or not near or at > waiting == 0:
            self._begin_at(timestamp, payload)
        elif at < waiting:
            self._fill_in(at, payload)
        else:
            self._audio += self._silent(at - waiting) + payload
        while len(self._audio) > self._octets_max:
            self._drop_frame()
            self.overruns += 1

    def pull(self) -> bytes | None:
        """Return the next frame, or None: silence is due, and what waits is still to come."""
        audio, octets = self._audio, self._frame_octets
        if len(audio) < octets:
            self._deep_pulls = 0
            self.underruns += 1
            return None
        frame = bytes(audio[:octets])
        self._drop_frame()
        self._deep_pulls = self._deep_pulls + 1 if len(audio) >= octets else 0
        if self._deep_pulls >= self._patience:
            self.shrink()
            self._patience = min(2 * self._patience, PATIENCE_MAX_PULLS)
        return frame

    def _begin_at(self, timestamp: int, payload: bytes) -> None:
        """Begin, behind as much silence as makes the first packet end on a whole frame.

        Else its last part would miss the pull that comes before the next packet.
        """
        lead = -len(payload) % self._frame_octets if len(payload) > self._frame_octets else 0
        self._audio[:] = self._silent(lead) + payload
        self._idle = False
        lead_samples = lead // self._unit_octets * self._unit_samples
        self._head = timestamp - lead_samples & TIMESTAMP_MASK

    def _fill_in(self, at: int, payload: bytes) -> None:
        """Put a packet in its place among those that wait, as far as its turn has not passed."""
        if at + len(payload) <= 0:
            self.late += 1
            return
        self._audio[max(at, 0) : at + len(payload)] = payload[max(-at, 0) :]

    def _drop_frame(self) -> None:
        del self._audio[: self._frame_octets]
        self._head = self._head + FRAME_MS * SAMPLES_PER_MS & TIMESTAMP_MASK

    def shrink(self) -> None:
        """Drop a frame if the last pulls could have done without it."""
        if self._deep_pulls >= DEEP_PULLS_MIN:
            self._drop_frame()
            self.slips += 1
            self._deep_pulls = 0

    def _silent(self, octets: int) -> bytes:
        return (self._silence * (octets // self._frame_octets + 1))[:octets]


class Repacketizer:
    """One phone's stream in packets of its own length; takes those of 20 ms where they are sent.

    Its sequence numbers are its own, and go on whatever is negotiated: they must never come again
    under one key of SRTP. A gap in the link's audio ends a packet early, and shows as one lost.
    """

    __slots__ = (
        "_audio",
        "_counters",
        "_destination",
        "_emitted",
        "_format",
        "_marker",
        "_octets",
        "_payload_type",
        "_send",
        "_sequence",
        "_source_sequence",
        "_ssrc",
        "_timestamp",
    )

    def __init__(self, counters: MediaCounters) -> None:
        self._counters = counters
        self._sequence: int | None = None
        self._source_sequence = 0
        self._audio = b""
        self._timestamp = self._ssrc = self._marker = 0
        self._destination: Any = None
        self._emitted = 0

    def use(self, send: Send, payload_type: int, format_: int, packet_ms: int) -> None:
        """Set where packets go, and how they are made, from the next one on."""
        self._audio = b""
        self._send = send
        self._payload_type = payload_type
        self._format = format_
        self._octets = codecs.frame_octets(format_, packet_ms)

    def send(self, datagram: bytes, destination: Any) -> int:  # noqa: ANN401 - an address of any family
        """Take a packet of 20 ms, or a digit's; send what is complete.

        Raises:
            OSError: As the socket does.
        """
        _, second, sequence, timestamp, self._ssrc = RTP_HEADER.unpack_from(datagram)
        self._destination = destination
        self._emitted = 0
        if self._sequence is None:
            self._sequence = self._source_sequence = sequence - 1 & SEQUENCE_MASK
        lost = sequence - self._source_sequence - 1 & SEQUENCE_MASK
        if lost >= _HALF_SEQUENCE:
            self._counters.late += 1
            self._counters.sent -= 1
            return len(datagram)
        if lost:
            self._flush()
            self._sequence = self._sequence + 1 & SEQUENCE_MASK
        self._source_sequence = sequence
        if second & PAYLOAD_TYPE_MASK == self._payload_type:
            self._add(second & MARKER, timestamp, datagram[HEADER_OCTETS:])
        else:
            self._flush()
            self._emit(second, timestamp, datagram[HEADER_OCTETS:])
        self._counters.sent += self._emitted - 1  # one is counted by who called us
        return len(datagram)

    def _add(self, marker: int, timestamp: int, payload: bytes) -> None:
        if not self._audio or timestamp != self._end() or marker:
            self._flush()
            self._timestamp, self._marker = timestamp, marker
        self._audio += payload
        while len(self._audio) >= self._octets:
            self._emit_audio(self._octets)

    def _flush(self) -> None:
        if self._audio:
            self._emit_audio(len(self._audio))

    def _emit_audio(self, octets: int) -> None:
        payload, self._audio = self._audio[:octets], self._audio[octets:]
        timestamp = self._timestamp
        self._timestamp = timestamp + self._samples(octets) & TIMESTAMP_MASK
        second, self._marker = self._payload_type | self._marker, 0
        self._emit(second, timestamp, payload)

    def _end(self) -> int:
        return self._timestamp + self._samples(len(self._audio)) & TIMESTAMP_MASK

    def _samples(self, octets: int) -> int:
        unit_octets, unit_ms = codecs.unit(self._format)
        return octets // unit_octets * unit_ms * SAMPLES_PER_MS

    def _emit(self, second: int, timestamp: int, payload: bytes) -> None:
        assert self._sequence is not None  # noqa: S101 - send() has set it
        self._sequence = self._sequence + 1 & SEQUENCE_MASK
        self._emitted += 1
        header = RTP_HEADER.pack(PLAIN, second, self._sequence, timestamp, self._ssrc)
        self._send(header + payload, self._destination)


def packet_ms(format_: int, ptime_ms: int | None, maxptime_ms: int | None) -> int:
    """Return the length of packets for a phone that asks for `ptime_ms`, and at most `maxptime_ms`.

    Whole frames of the codec, one at least, and 60 ms at most; 20 where nothing is asked.

    RFC 4566 section 6 (ptime, maxptime).
    """
    wanted_ms = min(ptime_ms or FRAME_MS, maxptime_ms or PACKET_MS_MAX, PACKET_MS_MAX)
    _, unit_ms = codecs.unit(format_)
    frame_ms = max(unit_ms, 10)
    return max(wanted_ms // frame_ms, 1) * frame_ms
