"""Frames as they stand on the wire in clear: layout, parsing and encoding.

Knows nothing of calls, keys or the meaning of a subclass.
"""

from dataclasses import dataclass, field
from struct import Struct
from typing import Final

from bridge.iax2.errors import FrameError

#  0                   1                   2                   3
#  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
# |1|     source call number      |R|  destination call number    |
# |                           timestamp                           |
# |    oseqno     |    iseqno     |     type      |C|  subclass   |
# |                             data ...                          |
_FULL: Final = Struct("!HHIBBBB")
#
# |0|     source call number      |      timestamp (low 16)       |
# |                             data ...                          |
_MINI: Final = Struct("!HH")

FULL_HEADER_OCTETS: Final = _FULL.size
MINI_HEADER_OCTETS: Final = _MINI.size

_TOP_BIT: Final = 0x8000
_CALL_NUMBER_MASK: Final = 0x7FFF
_SUBCLASS_IS_POWER: Final = 0x80
_SUBCLASS_MINUS_ONE: Final = 0xFF
_POWER_MASK: Final = 0x3F


@dataclass(slots=True)
class FullFrame:
    """A reliable frame with a 12-octet header; its repr shows neither digits nor data.

    Nothing changes one; that nothing can would make it four times as dear.

    `timestamp_ms` counts 32 bits of milliseconds since the sender's first frame, `oseqno` and
    `iseqno` are modulo 256, `subclass` is the decoded value (a media format as its own bit).

    Source: RFC 5456 section 8.1.1.
    """

    source_call_number: int
    destination_call_number: int
    timestamp_ms: int
    oseqno: int
    iseqno: int
    frame_type: int
    subclass: int = field(repr=False)
    data: bytes = field(default=b"", repr=False)
    retransmission: bool = False

    def encode(self) -> bytes:
        """Return the frame's octets in clear."""
        header = _FULL.pack(
            _TOP_BIT | self.source_call_number,
            (_TOP_BIT if self.retransmission else 0) | self.destination_call_number,
            self.timestamp_ms,
            self.oseqno,
            self.iseqno,
            self.frame_type,
            encode_subclass(self.subclass),
        )
        return header + self.data


@dataclass(frozen=True, slots=True)
class MiniFrame:
    """An unreliable voice frame with a 4-octet header; `timestamp_ms` is the low 16 bits.

    Source: RFC 5456 section 8.1.2.
    """

    source_call_number: int
    timestamp_ms: int
    data: bytes = field(repr=False)

    def encode(self) -> bytes:
        """Return the frame's octets in clear."""
        return _MINI.pack(self.source_call_number, self.timestamp_ms) + self.data


def parse_frame_untrusted(datagram: bytes) -> FullFrame | MiniFrame:
    """Read one clear frame.

    Raises:
        FrameError: too short, source call number 0, or a meta frame (trunk, video).

    Source: RFC 5456 section 8.1.
    """
    if len(datagram) < MINI_HEADER_OCTETS:
        raise FrameError(f"a datagram of {len(datagram)} octets holds no frame")
    if datagram[0] & 0x80:
        return _parse_full(datagram)
    source_call_number, timestamp_ms = _MINI.unpack_from(datagram)
    if source_call_number == 0:
        raise FrameError("meta frames (trunk, video) are not taken")
    return MiniFrame(source_call_number, timestamp_ms, datagram[MINI_HEADER_OCTETS:])


def _parse_full(datagram: bytes) -> FullFrame:
    if len(datagram) < FULL_HEADER_OCTETS:
        raise FrameError(f"a full frame of {len(datagram)} octets is shorter than its header")
    source, destination, timestamp_ms, oseqno, iseqno, frame_type, subclass = _FULL.unpack_from(
        datagram
    )
    if source == _TOP_BIT:
        raise FrameError("source call number 0")
    return FullFrame(
        source & _CALL_NUMBER_MASK,
        destination & _CALL_NUMBER_MASK,
        timestamp_ms,
        oseqno,
        iseqno,
        frame_type,
        _SUBCLASSES[subclass],
        datagram[FULL_HEADER_OCTETS:],
        retransmission=bool(destination & _TOP_BIT),
    )


def encode_subclass(subclass: int) -> int:
    """Return the octet of a subclass: itself below 128, else the exponent of its single bit.

    Asterisk writes mu-law voice as 0x04 and not as 0x82, and so do we.

    Source: Asterisk chan_iax2, compress_subclass(); RFC 5456 section 8.1.1.
    """
    if subclass == -1:
        return _SUBCLASS_MINUS_ONE
    if subclass < _SUBCLASS_IS_POWER:
        return subclass
    return _SUBCLASS_IS_POWER | (subclass.bit_length() - 1)


def decode_subclass(octet: int) -> int:
    """Return the value of a subclass octet; 0xFF is -1.

    Source: Asterisk chan_iax2, uncompress_subclass(); RFC 5456 section 8.1.1.
    """
    if octet == _SUBCLASS_MINUS_ONE:
        return -1
    if octet & _SUBCLASS_IS_POWER:
        return 1 << (octet & _POWER_MASK)
    return octet


_SUBCLASSES: Final = tuple(map(decode_subclass, range(256)))
