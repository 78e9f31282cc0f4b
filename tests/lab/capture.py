"""What an eavesdropper on the link gets to see: every datagram, and searches through them.

Records either from the loopback device (any packet of an address, needs the right to open packet
sockets) or from the recording proxy of tests/lab/proxy.py (any user). It decodes nothing: whoever
looks for a number must not need to understand the frames.
"""

import ipaddress
import socket
import struct
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trio

from bridge.audit.packets import Datagram as PackedDatagram
from bridge.audit.packets import Peer
from bridge.audit.writer import PcapWriter
from tests.lab.asterisk_config import IAX_PORT
from tests.lab.nursery import open_lab_nursery

Address = tuple[str, int]

_BUFFER_OCTETS = 32 << 20
_IPV4 = 0x0800
_IP_HEADER_OCTETS = 20
_UDP = 17
_STATISTICS = struct.Struct("II")  # packets | drops
_SOL_PACKET, _PACKET_STATISTICS = 263, 6
_WITHIN_NUMBERS = str.maketrans("", "", "+-*#. ()")
_SHORTEST_NEEDLE_OCTETS = 5
"""Shorter needles stand in random octets by chance: 3 octets in one of 80 captures of a minute."""
_SHORTEST_IN_CLEAR_OCTETS = 3
_CHALLENGE, _CALLTOKEN = 15, 54  # what the peer fills with random digits


@dataclass(frozen=True, slots=True)
class Datagram:
    """One UDP datagram as it went over the link."""

    at_s: float
    source: Address
    destination: Address
    payload: bytes = field(repr=False)


@dataclass
class LinkCapture:
    """A growing list of datagrams; `dropped` counts those that the kernel could not hand over."""

    datagrams: list[Datagram] = field(default_factory=list, repr=False)
    dropped: int = 0

    def write_pcap(self, path: Path) -> None:
        """Writes the capture for Wireshark, as plain IP packets."""
        with path.open("wb") as file:
            writer = PcapWriter(file)
            for datagram in self.datagrams:
                writer.write(_with_octets(datagram))


def can_capture() -> bool:
    """Whether this user may open packet sockets."""
    try:
        _packet_socket().close()
    except PermissionError:
        return False
    return True


@asynccontextmanager
async def capture_loopback(address: str, port: int = IAX_PORT) -> AsyncIterator[LinkCapture]:
    """Records all UDP to and from an address and port on the loopback device.

    A batch that was sent as one piece (UDP_SEGMENT) stands in the capture as one datagram.
    """
    capture = LinkCapture()
    with _packet_socket() as raw:
        async with open_lab_nursery() as nursery:
            nursery.start_soon(_record, raw, (address, port), capture)
            yield capture
            await trio.sleep(0.05)  # what has left is in the socket's queue by then
        _drain(raw, (address, port), capture)
        _, capture.dropped = _STATISTICS.unpack(
            raw.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, _STATISTICS.size)
        )


def forms_of(text: str) -> Mapping[str, bytes]:
    """How a number or a name may stand in octets, by the form's name."""
    forms = {
        "ASCII": text.encode(),
        "ASCII reversed": text[::-1].encode(),
        "UTF-16 LE": text.encode("utf-16-le"),
        "UTF-16 BE": text.encode("utf-16-be"),
        "UTF-32 LE": text.encode("utf-32-le"),
        "hexadecimal text": text.encode().hex().encode(),
    }
    digits = text.translate(_WITHIN_NUMBERS)
    # The few digits of a secret stand in some frame by chance.
    return forms | (_number_forms(digits) if digits.isdigit() else {})


def assert_absent(datagrams: Sequence[Datagram], texts: Iterable[str]) -> None:
    """Asserts that no text stands anywhere in a capture, in any form, nor spread over its frames.

    Forms of 3 and 4 octets are looked for in the datagrams in clear alone, without the random
    texts in them; shorter ones would stand anywhere.

    Raises:
        AssertionError: Which form stands where; the text itself is not repeated.
    """
    assert datagrams, "an empty capture proves nothing"
    for text in texts:
        for form, needle in forms_of(text).items():
            where = _find(datagrams, needle)
            assert where is None, f"a secret text stands on the link, as {form}: {where}"


def _number_forms(digits: str) -> dict[str, bytes]:
    number = int(digits)
    octets = max((number.bit_length() + 7) // 8, 1)
    forms = {
        "digit values": bytes(int(digit) for digit in digits),
        "binary BE": number.to_bytes(octets, "big"),
        "binary LE": number.to_bytes(octets, "little"),
    }
    # From an odd digit on, the number may begin in the low half of an octet.
    for name, aligned in (("even", digits), ("odd", digits[1:])):
        pairs = [aligned[n : n + 2] for n in range(0, len(aligned) - 1, 2)]
        if pairs:
            forms[f"BCD, {name}"] = bytes(int(pair, 16) for pair in pairs)
            forms[f"swapped BCD, {name}"] = bytes(int(pair[::-1], 16) for pair in pairs)
    return forms


def _find(datagrams: Sequence[Datagram], needle: bytes) -> str | None:
    if len(needle) < _SHORTEST_IN_CLEAR_OCTETS:
        return None
    if len(needle) < _SHORTEST_NEEDLE_OCTETS:
        found = any(needle in clear_octets(datagram.payload) for datagram in datagrams)
        return "a frame in clear" if found else None
    for number, datagram in enumerate(datagrams):
        if needle in datagram.payload:
            return f"datagram {number} of {len(datagrams)}, {len(datagram.payload)} octets"
    return next((where for where, column in _columns(datagrams) if needle in column), None)


def _columns(datagrams: Sequence[Datagram]) -> Iterator[tuple[str, bytes]]:
    """The octets at one place of datagrams of one size and way: digits sent one by one."""
    groups: dict[tuple[Address, int], list[bytes]] = defaultdict(list)
    for datagram in datagrams:
        groups[datagram.source, len(datagram.payload)].append(datagram.payload)
    for (source, size), payloads in groups.items():
        for place in range(size):
            where = f"octet {place} of the datagrams of {size} octets from {source}"
            yield where, bytes(payload[place] for payload in payloads)


def clear_octets(payload: bytes) -> bytes:
    """What a full IAX frame in clear says, without random texts; nothing of any other datagram."""
    if len(payload) < 12 or not payload[0] & 0x80 or payload[10] != 6 or payload[11] > 40:
        return b""
    said, rest = payload[:12], payload[12:]
    while rest:
        kind, size = rest[0], rest[1] if len(rest) > 1 else len(rest)
        if len(rest) < 2 + size:
            return b""  # no information elements: an encrypted frame
        if kind not in {_CHALLENGE, _CALLTOKEN}:
            said += rest[: 2 + size]
        rest = rest[2 + size :]
    return said


def _packet_socket() -> socket.socket:
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_IPV4))
    try:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_OCTETS)
        raw.bind(("lo", _IPV4))
        raw.settimeout(0)
    except OSError:
        raw.close()
        raise
    return raw


async def _record(raw: socket.socket, link: Address, capture: LinkCapture) -> None:
    while True:
        await trio.lowlevel.wait_readable(raw)
        _drain(raw, link, capture)


def _drain(raw: socket.socket, link: Address, capture: LinkCapture) -> None:
    while True:
        try:
            packet, origin = raw.recvfrom(1 << 16)
        except BlockingIOError:
            return
        if origin[2] == socket.PACKET_OUTGOING:  # loopback shows every packet twice
            continue
        datagram = _parse_ip(packet, trio.current_time())
        if datagram is not None and link in (datagram.source, datagram.destination):
            capture.datagrams.append(datagram)


def _parse_ip(packet: bytes, at_s: float) -> Datagram | None:
    header = (packet[0] & 15) * 4
    if len(packet) < header + 8 or packet[9] != _UDP:
        return None
    source, destination, length = struct.unpack_from("!HHH", packet, header)
    return Datagram(
        at_s,
        (str(ipaddress.IPv4Address(packet[12:16])), source),
        (str(ipaddress.IPv4Address(packet[16:20])), destination),
        packet[header + 8 : header + length],
    )


def _with_octets(datagram: Datagram) -> PackedDatagram:
    return PackedDatagram(
        round(datagram.at_s * 1e9),
        _packed(datagram.source),
        _packed(datagram.destination),
        datagram.payload,
        len(datagram.payload),
    )


def _packed(address: Address) -> Peer:
    return socket.inet_aton(address[0]), address[1]
