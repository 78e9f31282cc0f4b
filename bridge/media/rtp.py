"""RTP packets on the wire: the fixed header, read and written.

Owns the layout alone. Must not know sockets, calls or what a payload means.
"""

from dataclasses import dataclass, field
from struct import Struct
from typing import Final

from bridge.errors import BridgeError

#  0                   1                   2                   3
#  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
# +---+-+-+-------+-+-------------+-------------------------------+
# |V=2|P|X|  CC   |M|     PT      |       sequence number         |
# +---+-+-+-------+-+-------------+-------------------------------+
# |                           timestamp                           |
# +---------------------------------------------------------------+
# |           synchronization source (SSRC) identifier            |
# +---------------------------------------------------------------+
RTP_HEADER: Final = Struct("!BBHII")
HEADER_OCTETS: Final = RTP_HEADER.size

PLAIN: Final = 0x80
"""First octet of nearly every packet: version 2, no padding, no extension, no sources."""
MARKER: Final = 0x80
PAYLOAD_TYPE_MASK: Final = 0x7F
SEQUENCE_MASK: Final = 0xFFFF
TIMESTAMP_MASK: Final = 0xFFFF_FFFF
SAMPLES_PER_MS: Final = 8
"""RTP clock of every codec that we relay, G.722 included (RFC 3551 section 4.5.2)."""

COMFORT_NOISE: Final = 13
"""Payload type of RFC 3389, at the clock of our codecs (RFC 3551 section 6)."""

VERSION_MASK: Final = 0xC0
VERSION_2: Final = 0x80
_PADDING: Final = 0x20
_EXTENSION: Final = 0x10
_SOURCES_MASK: Final = 0x0F
_WORD_OCTETS: Final = 4
_EXTENSION_HEADER: Final = Struct("!HH")


class RtpError(BridgeError):
    """A datagram is no RTP packet."""


@dataclass(frozen=True, slots=True)
class RtpPacket:
    """One packet without its padding, header extension and contributing sources.

    Attributes:
        payload_type: 0 to 127.
        marker: Set on the first packet after a pause.
        sequence: 16 bits.
        timestamp: 32 bits, in samples.
        ssrc: 32 bits.
        payload: May be the digits of a number, so it is not shown.
    """

    payload_type: int
    marker: bool
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes = field(repr=False)

    def encode(self) -> bytes:
        """Return the datagram, with a plain header."""
        second = self.payload_type | (MARKER if self.marker else 0)
        return (
            RTP_HEADER.pack(PLAIN, second, self.sequence, self.timestamp, self.ssrc) + self.payload
        )


def parse_rtp_untrusted(datagram: bytes) -> RtpPacket:
    """Read a datagram that anybody may have sent.

    Raises:
        RtpError: Not version 2, or its parts do not fit its size.

    RFC 3550 section 5.1.
    """
    if len(datagram) < HEADER_OCTETS:
        raise RtpError("shorter than an RTP header")
    first, second, sequence, timestamp, ssrc = RTP_HEADER.unpack_from(datagram)
    if first & VERSION_MASK != VERSION_2:
        raise RtpError("not RTP version 2")
    start = _payload_start(datagram, first)
    end = len(datagram) - (_padding_octets(datagram) if first & _PADDING else 0)
    if end < start:
        raise RtpError("header and padding exceed the packet")
    return RtpPacket(
        second & PAYLOAD_TYPE_MASK,
        bool(second & MARKER),
        sequence,
        timestamp,
        ssrc,
        datagram[start:end],
    )


def _payload_start(datagram: bytes, first: int) -> int:
    start = HEADER_OCTETS + _WORD_OCTETS * (first & _SOURCES_MASK)
    if not first & _EXTENSION:
        return start
    if len(datagram) < start + _EXTENSION_HEADER.size:
        raise RtpError("header extension exceeds the packet")
    _, words = _EXTENSION_HEADER.unpack_from(datagram, start)
    return start + _EXTENSION_HEADER.size + _WORD_OCTETS * int(words)


def _padding_octets(datagram: bytes) -> int:
    octets = datagram[-1]
    if octets == 0:
        raise RtpError("padding of no octets")
    return octets
