"""RTCP as a relay needs it: reports written and read, and the figures that they carry.

Owns the layout of SR, RR and SDES and the statistics of one received stream. Must not know
sockets, calls or the clock: time comes as an argument, and nothing here names a user.
"""

import secrets
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from bridge.errors import BridgeError

# Every packet begins with
#  0                   1                   2                   3
#  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
# +---+-+---------+---------------+-------------------------------+
# |V=2|P|  count  |      type     |  32-bit words that follow     |
# +---+-+---------+---------------+-------------------------------+
_HEADER: Final = struct.Struct("!BBH")
_VERSION: Final = 0x80
_VERSION_MASK: Final = 0xC0
_PADDING: Final = 0x20
_COUNT_MASK: Final = 0x1F
_SENDER_REPORT: Final = 200
_RECEIVER_REPORT: Final = 201
_SOURCE_DESCRIPTION: Final = 202
_WORD_OCTETS: Final = 4

_SSRC: Final = struct.Struct("!I")

# NTP timestamp (64) | RTP timestamp (32) | packets sent (32) | octets of payload sent (32)
_SENDER: Final = struct.Struct("!QIII")

# SSRC (32) | fraction lost (8), packets lost (24, signed) | extended highest sequence number (32)
# | interarrival jitter (32) | last SR (32) | delay since last SR (32)
_BLOCK: Final = struct.Struct("!IIIIII")

_CNAME: Final = 1
_WORD: Final = 0xFFFF_FFFF
_HALF: Final = 1 << 31
_LOST_MAX: Final = 0x7F_FFFF
_LOST_MIN: Final = -0x80_0000
_NTP_SECOND: Final = 1 << 32
_SHORT_NTP_SECOND: Final = 1 << 16

_RANDOM: Final = secrets.SystemRandom()


class RtcpError(BridgeError):
    """A datagram is no compound RTCP packet that begins with a report."""


@dataclass(frozen=True, slots=True)
class SenderInfo:
    """What a sender says of its own stream.

    Attributes:
        ntp_timestamp: 64 bits, 32 of them a fraction of a second.
        rtp_timestamp: The same instant on the RTP clock.
        packets: Sent since the start, modulo 2^32.
        octets: Of payload, sent since the start, modulo 2^32.
    """

    ntp_timestamp: int
    rtp_timestamp: int
    packets: int
    octets: int


@dataclass(frozen=True, slots=True)
class ReportBlock:
    """What a receiver says of a stream that it gets.

    Attributes:
        ssrc: The stream.
        fraction_lost: 0 to 255, of 256 packets expected since the report before.
        lost: Since the start; negative when duplicates outnumber losses; 24 bits with sign.
        highest_sequence: The upper 16 bits count the wraps.
        jitter: In units of the RTP clock.
        last_report: The middle 32 bits of the NTP timestamp of the last SR, 0 for none.
        delay: Since that SR arrived, in 1/65536 s.
    """

    ssrc: int
    fraction_lost: int
    lost: int
    highest_sequence: int
    jitter: int
    last_report: int = 0
    delay: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """A sender report, or, without `sender`, a receiver report."""

    ssrc: int
    sender: SenderInfo | None = None
    blocks: tuple[ReportBlock, ...] = ()


def random_cname() -> str:
    """Return a name for one session, of 96 random bits: it tells nothing and links no two calls.

    RFC 7022 section 4.2.
    """
    return secrets.token_urlsafe(12)


def ntp_timestamp(seconds: float) -> int:
    """Return the 64-bit NTP timestamp of a clock; it need not be the wall clock.

    RFC 3550 section 6.4.1, NTP timestamp.
    """
    return int(seconds * _NTP_SECOND) & (_NTP_SECOND * _NTP_SECOND - 1)


def report_interval_s(uniform: Callable[[float, float], float] = _RANDOM.uniform) -> float:
    """Return the seconds to the next report: 5, times a random 0.5 to 1.5 against lockstep.

    RFC 3550 section 6.2.
    """
    return 5.0 * uniform(0.5, 1.5)


def build_report(
    ssrc: int,
    cname: str,
    sender: SenderInfo | None = None,
    blocks: Sequence[ReportBlock] = (),
) -> bytes:
    """Return a compound packet: SR or, without `sender`, RR; then SDES with the CNAME alone.

    Args:
        ssrc: Of the stream that we send, or would send.
        cname: Of 1 to 255 octets.
        sender: Of our stream, if anything was sent since the report before the last.
        blocks: At most 31.

    RFC 3550 section 6.1.
    """
    body = _SSRC.pack(ssrc)
    packet_type = _RECEIVER_REPORT
    if sender is not None:
        packet_type = _SENDER_REPORT
        body += _SENDER.pack(
            sender.ntp_timestamp,
            sender.rtp_timestamp & _WORD,
            sender.packets & _WORD,
            sender.octets & _WORD,
        )
    body += b"".join(_build_block(block) for block in blocks)
    return _build_packet(packet_type, len(blocks), body) + _build_cname(ssrc, cname)


def _build_block(block: ReportBlock) -> bytes:
    loss = block.fraction_lost << 24 | max(_LOST_MIN, min(block.lost, _LOST_MAX)) & 0xFF_FFFF
    return _BLOCK.pack(
        block.ssrc,
        loss,
        block.highest_sequence & _WORD,
        block.jitter & _WORD,
        block.last_report,
        block.delay & _WORD,
    )


def _build_cname(ssrc: int, cname: str) -> bytes:
    text = cname.encode()
    items = _SSRC.pack(ssrc) + bytes([_CNAME, len(text)]) + text
    # At least one zero octet ends the list of items.
    padding = _WORD_OCTETS - len(items) % _WORD_OCTETS
    return _build_packet(_SOURCE_DESCRIPTION, 1, items + bytes(padding))


def _build_packet(packet_type: int, count: int, body: bytes) -> bytes:
    return _HEADER.pack(_VERSION | count, packet_type, len(body) // _WORD_OCTETS) + body


def parse_rtcp_untrusted(datagram: bytes) -> tuple[Report, ...]:
    """Read the reports of a compound packet that anybody may have sent; the rest is skipped.

    Raises:
        RtcpError: It does not begin with a report, or its parts do not fit its size.

    RFC 3550 sections 6.1, 6.4 and appendix A.2.
    """
    reports = tuple(_parse_packets(datagram))
    if not reports:
        raise RtcpError("empty RTCP packet")
    return reports


def _parse_packets(datagram: bytes) -> Iterator[Report]:
    offset = 0
    while offset < len(datagram):
        if len(datagram) - offset < _HEADER.size:
            raise RtcpError("RTCP header cut short")
        first, packet_type, words = _HEADER.unpack_from(datagram, offset)
        end = offset + _HEADER.size + words * _WORD_OCTETS
        if first & _VERSION_MASK != _VERSION or end > len(datagram):
            raise RtcpError("RTCP version or length is wrong")
        is_report = packet_type in (_SENDER_REPORT, _RECEIVER_REPORT)
        if offset == 0 and (not is_report or first & _PADDING):
            raise RtcpError("compound RTCP packet does not begin with a report")
        if is_report:
            body = memoryview(datagram)[offset + _HEADER.size : end]
            yield _parse_report(packet_type, first & _COUNT_MASK, body)
        offset = end


def _parse_report(packet_type: int, count: int, body: memoryview) -> Report:
    """Read one report; what a profile appends to it is ignored."""
    sender = None
    offset = _SSRC.size
    try:
        (ssrc,) = _SSRC.unpack_from(body)
        if packet_type == _SENDER_REPORT:
            sender = SenderInfo(*_SENDER.unpack_from(body, offset))
            offset += _SENDER.size
        blocks = tuple(_parse_block(body, offset + i * _BLOCK.size) for i in range(count))
    except struct.error:
        raise RtcpError("RTCP report cut short") from None
    return Report(ssrc, sender, blocks)


def _parse_block(body: memoryview, offset: int) -> ReportBlock:
    ssrc, loss, highest_sequence, jitter, last_report, delay = _BLOCK.unpack_from(body, offset)
    lost = loss & 0xFF_FFFF
    if lost > _LOST_MAX:
        lost -= 0x100_0000
    return ReportBlock(ssrc, loss >> 24, lost, highest_sequence, jitter, last_report, delay)


def round_trip_s(block: ReportBlock, arrival_ntp_timestamp: int) -> float | None:
    """Return the round trip that a report about our stream shows, in seconds.

    Args:
        block: Of a report that arrived.
        arrival_ntp_timestamp: When it arrived, on the clock of our own sender reports.

    Returns:
        None when the peer has seen no report of ours, or says what cannot be.

    RFC 3550 section 6.4.1, delay since last SR.
    """
    if not block.last_report:
        return None
    arrival = arrival_ntp_timestamp >> 16 & _WORD
    elapsed = (arrival - block.last_report - block.delay) & _WORD
    return None if elapsed > _WORD // 2 else elapsed / _SHORT_NTP_SECOND


_SEQUENCES: Final = 1 << 16
_DROPOUT_MAX: Final = 3000
_MISORDER_MAX: Final = 100
_NO_SEQUENCE: Final = -1


class ReceptionStatistics:
    """Counts one received RTP stream, one SSRC, for its report block.

    Attributes:
        received: Packets counted, duplicates included.
        highest_sequence: The highest sequence number seen, its wraps in the bits above 16.

    RFC 3550 appendices A.1 (without the probation, which latching replaces), A.3 and A.8.
    """

    __slots__ = (
        "_base",
        "_clock_rate_hz",
        "_expected_before",
        "_jitter_16",
        "_last_report",
        "_last_report_at_s",
        "_received_before",
        "_restart",
        "_transit",
        "highest_sequence",
        "received",
    )

    def __init__(self, clock_rate_hz: int = 8000) -> None:
        self._clock_rate_hz = clock_rate_hz
        self._last_report = 0
        self._last_report_at_s = 0.0
        self._jitter_16 = 0
        self._start(0)

    def _start(self, sequence: int) -> None:
        self._base = self.highest_sequence = sequence
        self._restart = _NO_SEQUENCE
        self._transit: int | None = None
        self.received = self._received_before = self._expected_before = 0

    def update(self, sequence: int, rtp_timestamp: int | None, arrival_s: float) -> None:
        """Count a packet.

        Args:
            sequence: Of its header.
            rtp_timestamp: Of its header; None keeps it out of the jitter, as is due to telephone
                events, whose timestamp stands still.
            arrival_s: On any steady clock.
        """
        if not self.received:
            self._start(sequence)
        ahead = (sequence - self.highest_sequence) & 0xFFFF
        if ahead < _DROPOUT_MAX:
            self.highest_sequence += ahead
        elif ahead <= _SEQUENCES - _MISORDER_MAX:
            # A jump: believed when a second packet follows it, for the sender may have restarted.
            if sequence != self._restart:
                self._restart = (sequence + 1) & 0xFFFF
                return
            self._start(sequence)
        self.received += 1
        if rtp_timestamp is None:
            return
        transit = int(arrival_s * self._clock_rate_hz) - rtp_timestamp
        before, self._transit = self._transit, transit
        if before is not None:
            # The RTP clock wraps at 32 bits.
            change = abs((transit - before + _HALF & _WORD) - _HALF)
            self._jitter_16 += change - (self._jitter_16 + 8 >> 4)

    @property
    def expected(self) -> int:
        """Packets from the first one to the highest sequence number."""
        return self.highest_sequence - self._base + 1 if self.received else 0

    @property
    def lost(self) -> int:
        """Packets that did not arrive; negative when duplicates outnumber them."""
        return self.expected - self.received

    @property
    def jitter(self) -> int:
        """Mean deviation of the spacing, in units of the RTP clock."""
        return self._jitter_16 >> 4

    @property
    def jitter_ms(self) -> float:
        """The same in milliseconds."""
        return self._jitter_16 / 16 * 1000 / self._clock_rate_hz

    def sender_reported(self, sender: SenderInfo, arrival_s: float) -> None:
        """Note that the stream's sender report has arrived, on the clock of `update`."""
        self._last_report = sender.ntp_timestamp >> 16 & _WORD
        self._last_report_at_s = arrival_s

    def report_block(self, ssrc: int, now_s: float) -> ReportBlock:
        """Return the block on stream `ssrc` and begin the next interval of `fraction_lost`."""
        expected = self.expected
        expected_since = expected - self._expected_before
        lost_since = expected_since - (self.received - self._received_before)
        self._expected_before, self._received_before = expected, self.received
        fraction = (lost_since << 8) // expected_since if lost_since > 0 else 0
        delay_s = now_s - self._last_report_at_s if self._last_report else 0.0
        return ReportBlock(
            ssrc,
            min(fraction, 255),
            max(_LOST_MIN, min(self.lost, _LOST_MAX)),
            self.highest_sequence & _WORD,
            self.jitter & _WORD,
            self._last_report,
            min(int(delay_s * _SHORT_NTP_SECOND), _WORD),
        )
