"""From captured packets to UDP datagrams: link layers, VLAN tags, IPv4 and IPv6.

Knows nothing of IAX2. What is no whole UDP datagram is None, never an error.
"""

from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final

from bridge.audit.capture import Packet

Peer = tuple[bytes, int]
"""An address of 4 or 16 octets, and a port."""

_IPV4, _IPV6 = 0x0800, 0x86DD
_VLANS: Final = frozenset({0x8100, 0x88A8, 0x9100})
_VLANS_MAX: Final = 4
_IPV6_FAMILIES: Final = frozenset({10, 24, 28, 30})
"""AF_INET6 of Linux, BSD and macOS, as the loopback header has it."""
_UDP, _FRAGMENT = 17, 44
_IPV6_EXTENSIONS: Final = frozenset({0, 43, 60, _FRAGMENT})
_EXTENSIONS_MAX: Final = 8
_IPV4_MIN_OCTETS, _IPV6_OCTETS, _UDP_OCTETS = 20, 40, 8
_FRAGMENT_BITS: Final = 0x3FFF
_FRAGMENT_BITS_IPV6: Final = 0xFFF9

# Link types: https://www.tcpdump.org/linktypes.html
_NULL, _ETHERNET, _LOOP, _COOKED, _COOKED_2 = 0, 1, 108, 113, 276
_RAW: Final = frozenset({12, 14, 101, 228, 229})
LINK_TYPES: Final = frozenset({_NULL, _ETHERNET, _LOOP, _COOKED, _COOKED_2}) | _RAW


@dataclass(frozen=True, slots=True)
class Datagram:
    """A UDP payload; `octets` is shorter than `original_octets` where the capture cut it."""

    at_ns: int
    source: Peer
    destination: Peer
    octets: bytes = field(repr=False)
    original_octets: int


def peer_text(peer: Peer) -> str:
    """Return address and port as people write them."""
    address = ip_address(peer[0])
    return f"[{address}]:{peer[1]}" if address.version == 6 else f"{address}:{peer[1]}"  # noqa: PLR2004


def datagram_of(packet: Packet) -> Datagram | None:
    """Return the UDP datagram in a packet; None for other protocols and for fragments."""
    octets = packet.octets
    start = _network_layer(packet.link_type, octets)
    if start is None or start >= len(octets):
        return None
    version = octets[start] >> 4
    if version == 4:  # noqa: PLR2004
        return _in_ipv4(packet.at_ns, octets, start)
    return _in_ipv6(packet.at_ns, octets, start) if version == 6 else None  # noqa: PLR2004


def _network_layer(link_type: int, octets: bytes) -> int | None:
    """Return where the IP packet begins."""
    match link_type:
        case 1:
            return _behind_tags(octets, 12)
        case 113:
            return _behind_tags(octets, 14)
        case 276:
            return 20 if octets[:2] in {b"\x08\x00", b"\x86\xdd"} else _behind_tags(octets[:2], 0)
        case 0 | 108:
            return 4
        case _:
            return 0 if link_type in _RAW else None


def _behind_tags(octets: bytes, position: int) -> int | None:
    """Return where the IP packet begins, given where the EtherType is."""
    for _ in range(_VLANS_MAX):
        ether_type = int.from_bytes(octets[position : position + 2], "big")
        if ether_type in {_IPV4, _IPV6}:
            return position + 2
        if ether_type not in _VLANS:
            return None
        position += 4
    return None


def _in_ipv4(at_ns: int, octets: bytes, start: int) -> Datagram | None:
    header = (octets[start] & 15) * 4
    at = start + header
    if header < _IPV4_MIN_OCTETS or len(octets) < at + _UDP_OCTETS or octets[start + 9] != _UDP:
        return None
    if int.from_bytes(octets[start + 6 : start + 8], "big") & _FRAGMENT_BITS:
        return None
    return _udp(at_ns, octets, at, octets[start + 12 : start + 16], octets[start + 16 : start + 20])


def _in_ipv6(at_ns: int, octets: bytes, start: int) -> Datagram | None:
    at = start + _IPV6_OCTETS
    if len(octets) < at + _UDP_OCTETS:
        return None
    following = octets[start + 6]
    for _ in range(_EXTENSIONS_MAX):
        if following not in _IPV6_EXTENSIONS or len(octets) < at + _UDP_OCTETS:
            break
        if following == _FRAGMENT:
            if int.from_bytes(octets[at + 2 : at + 4], "big") & _FRAGMENT_BITS_IPV6:
                return None
            length = 8
        else:
            length = (octets[at + 1] + 1) * 8
        following, at = octets[at], at + length
    if following != _UDP or len(octets) < at + _UDP_OCTETS:
        return None
    return _udp(at_ns, octets, at, octets[start + 8 : start + 24], octets[start + 24 : start + 40])


def _udp(at_ns: int, octets: bytes, at: int, source: bytes, destination: bytes) -> Datagram | None:
    length = int.from_bytes(octets[at + 4 : at + 6], "big")
    if length < _UDP_OCTETS:
        return None
    return Datagram(
        at_ns,
        (source, int.from_bytes(octets[at : at + 2], "big")),
        (destination, int.from_bytes(octets[at + 2 : at + 4], "big")),
        octets[at + _UDP_OCTETS : at + length],
        length - _UDP_OCTETS,
    )
