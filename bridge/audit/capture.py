"""Reads pcap and pcapng files packet by packet, in bounded memory, whatever stands in them.

Knows nothing of what is in a packet. A file that is no capture raises CaptureError; one that breaks
off or is damaged further on yields what came before, and says so in `notes`.

Source: draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from struct import Struct
from typing import BinaryIO, Final, Literal, Self

from bridge.errors import BridgeError

PACKET_MAX_OCTETS: Final = 262_144
"""The longest packet that tcpdump and Wireshark take."""
INTERFACES_MAX: Final = 1024

_NANOSECONDS: Final = 1_000_000_000
_TIME_MAX_NS: Final = (1 << 63) - 1
_READ_AHEAD_OCTETS: Final = 1 << 20
_PCAP: Final = {
    bytes.fromhex("d4c3b2a1"): ("<", 1000),
    bytes.fromhex("a1b2c3d4"): (">", 1000),
    bytes.fromhex("4d3cb2a1"): ("<", 1),
    bytes.fromhex("a1b23c4d"): (">", 1),
}
"""Magic octets, with the order of octets and the nanoseconds of a fraction."""
_PCAP_HEADER_OCTETS: Final = 24
_LINK_TYPE_MASK: Final = 0x0FFFFFFF  # the rest tells about frame check sequences
_SECTION: Final = bytes.fromhex("0a0d0d0a")
_SECTION_TYPE: Final = 0x0A0D0D0A
_BIG_ENDIAN: Final = bytes.fromhex("1a2b3c4d")
_INTERFACE, _OLD_PACKET, _SIMPLE_PACKET, _PACKET = 1, 2, 3, 6
_KEPT_BLOCKS: Final = frozenset({_INTERFACE, _OLD_PACKET, _SIMPLE_PACKET, _PACKET})
_BLOCK_MIN_OCTETS: Final = 12
_BLOCK_MAX_OCTETS: Final = PACKET_MAX_OCTETS + 65_536
_RESOLUTION_OPTION, _OFFSET_OPTION = 9, 14
_OFFSET_OCTETS: Final = 8
_RESOLUTION_MAX: Final = 63
_GZIP: Final = bytes.fromhex("1f8b")


Progress = Callable[[int, int], None]
"""Told how much of how much was done, in octets."""
PROGRESS_EVERY_PACKETS: Final = 16_384


class CaptureError(BridgeError):
    """The file is no capture that can be read; the text says why."""


class _BrokenOffError(Exception):
    """Nothing more can be read; the text is the note that says why."""


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet as it was captured: `octets` are perhaps fewer than it had.

    `at_ns` counts from 1970 and fits in 63 bits.
    """

    at_ns: int
    link_type: int
    octets: bytes = field(repr=False)
    original_octets: int


@dataclass(frozen=True, slots=True)
class _Interface:
    link_type: int
    snap_octets: int
    units_per_s: int = 1_000_000
    offset_s: int = 0


class CaptureReader:
    """An iterator over the packets of a file; use as a context manager.

    Attributes:
        size_octets: Of the file.
        notes: What was wrong with it, at most one entry a kind.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._file: BinaryIO = path.open("rb", buffering=_READ_AHEAD_OCTETS)
            self.size_octets = path.stat().st_size
        except OSError as error:
            raise CaptureError(f"cannot read {path}: {error.strerror}") from None
        self._path = path
        self.notes: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def position_octets(self) -> int:
        """How much of the file has been read."""
        return self._file.tell()

    def __iter__(self) -> Iterator[Packet]:
        """Read on from the start.

        Raises:
            CaptureError: It is no capture, or cannot be read.
        """
        try:
            self._file.seek(0)
            magic = self._file.read(4)
            if magic in _PCAP:
                yield from self._pcap(*_PCAP[magic])
            elif magic == _SECTION:
                self._file.seek(0)
                yield from self._pcapng()
            else:
                raise CaptureError(f"{self._path} is no capture: {_guess(magic)}")
        except _BrokenOffError as error:
            if str(error) not in self.notes:
                self.notes.append(str(error))
        except OSError as error:
            raise CaptureError(f"cannot read {self._path}: {error.strerror}") from None

    def _pcap(self, order: str, fraction_ns: int) -> Iterator[Packet]:
        header = self._file.read(_PCAP_HEADER_OCTETS - 4)
        if len(header) < _PCAP_HEADER_OCTETS - 4:
            raise CaptureError(f"{self._path} is cut short within its header")
        link_type = Struct(order + "I").unpack_from(header, 16)[0] & _LINK_TYPE_MASK
        record = Struct(order + "IIII")
        read = self._file.read
        while head := read(record.size):
            if len(head) < record.size:
                raise _BrokenOffError(_CUT_SHORT)
            seconds, fraction, captured, original = record.unpack(head)
            if captured > PACKET_MAX_OCTETS:
                raise _BrokenOffError(_DAMAGED)
            octets = read(captured)
            yield Packet(
                seconds * _NANOSECONDS + fraction * fraction_ns, link_type, octets, original
            )
            if len(octets) < captured:
                raise _BrokenOffError(_CUT_SHORT)

    def _pcapng(self) -> Iterator[Packet]:
        order: Literal["<", ">"] = "<"
        interfaces: list[_Interface] = []
        while head := self._file.read(8):
            if head.startswith(_SECTION):
                order = ">" if self._file.read(4) == _BIG_ENDIAN else "<"
                interfaces = []
            body = self._body(head, order)
            block_type = _PAIR[order].unpack(head)[0]
            if block_type == _INTERFACE and len(interfaces) < INTERFACES_MAX:
                interfaces.append(_interface(body, order))
            elif (packet := _packet(block_type, body, order, interfaces)) is not None:
                yield packet

    def _body(self, head: bytes, order: str) -> bytes:
        """The body of a block, empty where nobody needs it."""
        if len(head) < _PAIR[order].size:
            raise _BrokenOffError(_CUT_SHORT)
        block_type, length = _PAIR[order].unpack(head)
        octets = length - (_BLOCK_MIN_OCTETS if block_type == _SECTION_TYPE else len(head))
        if length < _BLOCK_MIN_OCTETS or length % 4:
            raise _BrokenOffError(_DAMAGED)
        if block_type not in _KEPT_BLOCKS:
            self._file.seek(octets, 1)
            if self._file.tell() > self.size_octets:
                raise _BrokenOffError(_CUT_SHORT)
            return b""
        if octets > _BLOCK_MAX_OCTETS:
            raise _BrokenOffError(_DAMAGED)
        body = self._file.read(octets)
        if len(body) < octets:
            raise _BrokenOffError(_CUT_SHORT)
        return body[:-4]  # the length stands there again


_CUT_SHORT: Final = "the capture is cut short: its last packet is not whole"
_DAMAGED: Final = "the capture is damaged: what follows the damage could not be read"
_PAIR: Final = {"<": Struct("<II"), ">": Struct(">II")}
_INTERFACE_HEAD: Final = {"<": Struct("<HHI"), ">": Struct(">HHI")}
_OPTION: Final = {"<": Struct("<HH"), ">": Struct(">HH")}
_PACKET_HEAD: Final = {"<": Struct("<IIIII"), ">": Struct(">IIIII")}
_OLD_PACKET_HEAD: Final = {"<": Struct("<HHIIII"), ">": Struct(">HHIIII")}
_SIMPLE_HEAD: Final = {"<": Struct("<I"), ">": Struct(">I")}


def _guess(magic: bytes) -> str:
    if not magic:
        return "it is empty"
    if magic.startswith(_GZIP):
        return "it is compressed: gunzip it first"
    return "expected a pcap or pcapng file, as tcpdump -w and Wireshark write them"


def _interface(body: bytes, order: str) -> _Interface:
    head = _INTERFACE_HEAD[order]
    if len(body) < head.size:
        return _Interface(-1, 0)
    link_type, _, snap_octets = head.unpack_from(body)
    units_per_s, offset_s = 1_000_000, 0
    position = head.size
    while position + 4 <= len(body):
        code, length = _OPTION[order].unpack_from(body, position)
        value = body[position + 4 : position + 4 + length]
        if code == _RESOLUTION_OPTION and len(value) == 1:
            units_per_s = _units(value[0])
        elif code == _OFFSET_OPTION and len(value) == _OFFSET_OCTETS:
            offset_s = int.from_bytes(value, "little" if order == "<" else "big", signed=True)
        position += 4 + (length + 3) // 4 * 4
    return _Interface(link_type, snap_octets, units_per_s, offset_s)


def _units(resolution: int) -> int:
    """Time units a second: a negative power of 2 where the top bit is set, else of 10."""
    exponent = min(resolution & 0x7F, _RESOLUTION_MAX)
    return int(2**exponent if resolution & 0x80 else 10**exponent)


def _packet(
    block_type: int, body: bytes, order: str, interfaces: list[_Interface]
) -> Packet | None:
    """The packet of a block; None where it is none, or belongs to an interface unheard of."""
    index, high, low = 0, 0, 0
    match block_type:
        case 6 if len(body) >= (start := _PACKET_HEAD[order].size):
            index, high, low, captured, original = _PACKET_HEAD[order].unpack_from(body)
        case 2 if len(body) >= (start := _OLD_PACKET_HEAD[order].size):
            index, _, high, low, captured, original = _OLD_PACKET_HEAD[order].unpack_from(body)
        case 3 if len(body) >= (start := _SIMPLE_HEAD[order].size):
            (original,) = _SIMPLE_HEAD[order].unpack_from(body)
            captured = original
        case _:
            return None
    if index >= len(interfaces):
        return None
    interface = interfaces[index]
    at_ns = (high << 32 | low) * _NANOSECONDS // interface.units_per_s
    at_ns = min(max(at_ns + interface.offset_s * _NANOSECONDS, 0), _TIME_MAX_NS)
    octets = body[start : start + captured]
    return Packet(at_ns, interface.link_type, octets, original)
