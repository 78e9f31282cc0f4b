"""Writes UDP datagrams as a pcap file of IP packets, times to the nanosecond, checksums right."""

from struct import Struct
from typing import BinaryIO, Final

from bridge.audit.packets import Datagram

_HEADER: Final = Struct("<IHHiIII")
_RECORD: Final = Struct("<IIII")
_MAGIC_NANOSECONDS: Final = 0xA1B23C4D
_SNAP_OCTETS: Final = 262_144
_RAW_IP: Final = 101
_NANOSECONDS: Final = 1_000_000_000
_UDP: Final = 17
_IPV4_OCTETS: Final = 4
_HOPS: Final = 64

# |version, header| service | total length | identification | flags, offset | hops | protocol |
# | checksum | source | destination |
_IPV4: Final = Struct("!BBHHHBBH4s4s")
# |version, class, flow label | payload length | next header | hops | source | destination |
_IPV6: Final = Struct("!IHBB16s16s")
_UDP_HEADER: Final = Struct("!HHHH")


class PcapWriter:
    """Writes into an open file; the header at once."""

    def __init__(self, file: BinaryIO) -> None:
        self._write = file.write
        self._write(_HEADER.pack(_MAGIC_NANOSECONDS, 2, 4, 0, 0, _SNAP_OCTETS, _RAW_IP))

    def write(self, datagram: Datagram) -> None:
        """Write one datagram as an IP packet of its own."""
        packet = ip_packet(datagram)
        seconds, nanoseconds = divmod(datagram.at_ns, _NANOSECONDS)
        stamp = seconds & 0xFFFFFFFF
        self._write(_RECORD.pack(stamp, nanoseconds, len(packet), len(packet)) + packet)


def ip_packet(datagram: Datagram) -> bytes:
    """Return the datagram as an IPv4 or IPv6 packet."""
    source, destination = datagram.source[0], datagram.destination[0]
    segment = _udp_segment(datagram)
    if len(source) != _IPV4_OCTETS:
        return _IPV6.pack(6 << 28, len(segment), _UDP, _HOPS, source, destination) + segment
    fields = (69, 0, 20 + len(segment), 0, 0, _HOPS, _UDP)
    checksum = _checksum(_IPV4.pack(*fields, 0, source, destination))
    return _IPV4.pack(*fields, checksum, source, destination) + segment


def _udp_segment(datagram: Datagram) -> bytes:
    length = _UDP_HEADER.size + len(datagram.octets)
    ports = (datagram.source[1], datagram.destination[1])
    covered = datagram.source[0] + datagram.destination[0] + Struct("!II").pack(length, _UDP)
    # A checksum of 0 would say that there is none.
    checksum = _checksum(covered + _UDP_HEADER.pack(*ports, length, 0) + datagram.octets) or 0xFFFF
    return _UDP_HEADER.pack(*ports, length, checksum) + datagram.octets


def _checksum(octets: bytes) -> int:
    """The Internet checksum: ones' complement of the ones' complement sum of 16-bit words.

    The sum is the number modulo 0xFFFF, since 0x10000 is 1 there.

    Source: RFC 1071.
    """
    total = int.from_bytes(octets + bytes(len(octets) % 2), "big") % 0xFFFF
    return 0xFFFF - total
