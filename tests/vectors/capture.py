"""The captures: datagrams as they went over the wire, their listings and their secrets.

Owns how the files are read. Knows nothing of IAX2.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final

import dpkt

_FOLDER: Final = Path(__file__).parent / "captures"


@dataclass(frozen=True, slots=True)
class Datagram:
    """One UDP payload; `number` counts from 1 as in the listing."""

    number: int
    elapsed_s: float
    source: str
    destination: str
    octets: bytes


@dataclass(frozen=True, slots=True)
class Capture:
    """A capture; `listing` has one line a datagram, `notes` are the lines that begin with #.

    `secrets` are those of the caller, the callee and the registration, as far as there are any.
    """

    name: str
    secrets: Mapping[str, bytes]
    datagrams: tuple[Datagram, ...]
    listing: tuple[str, ...]
    notes: tuple[str, ...]


@cache
def read_capture(name: str) -> Capture:
    """Read a capture with its listing and its secrets."""
    about = tomllib.loads((_FOLDER / "secrets.toml").read_text())[name]
    lines = (_FOLDER / f"{name}.txt").read_text().splitlines()
    return Capture(
        name,
        {owner: secret.encode() for owner, secret in about.items() if owner != "about"},
        _read_datagrams(_FOLDER / f"{name}.pcap"),
        tuple(line for line in lines if not line.startswith("#")),
        tuple(line for line in lines if line.startswith("#")),
    )


def _read_datagrams(path: Path) -> tuple[Datagram, ...]:
    with path.open("rb") as file:
        packets = list(dpkt.pcap.Reader(file))
    started_s = packets[0][0]
    return tuple(
        _datagram(number, captured_s - started_s, octets)
        for number, (captured_s, octets) in enumerate(packets, start=1)
    )


def _datagram(number: int, elapsed_s: float, octets: bytes) -> Datagram:
    packet = dpkt.ethernet.Ethernet(octets).data
    return Datagram(
        number,
        elapsed_s,
        str(IPv4Address(packet.src)),
        str(IPv4Address(packet.dst)),
        bytes(packet.data.data),
    )
