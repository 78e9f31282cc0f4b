"""Finds loopback addresses and ports that nobody uses, so that test runs can share a machine."""

import itertools
import os
import socket

from tests.lab import LabError
from tests.lab.asterisk_config import IAX_PORT

_FIRST, _LAST = 11, 250
_taken: set[str] = set()
_PORTS_FIRST, _PORTS_EACH, _PORTS_APART = 10_000, 200, 4
_PORTS_OWN_FIRST = _PORTS_FIRST + os.getpid() % 50 * _PORTS_EACH
_PORTS_OWN = range(_PORTS_OWN_FIRST, _PORTS_OWN_FIRST + _PORTS_EACH, _PORTS_APART)
_ports = itertools.cycle(_PORTS_OWN)


def free_iax_address() -> str:
    """A loopback address on whose IAX2 port is free; each is given once.

    Test runs side by side look at the same moment, so each process has a network of its own.
    """
    network = f"127.{1 + os.getpid() // 250 % 250}.{1 + os.getpid() % 250}"
    for last_octet in range(_FIRST, _LAST):
        address = f"{network}.{last_octet}"
        if address not in _taken and can_bind(address, IAX_PORT):
            _taken.add(address)
            return address
    raise LabError(
        f"UDP port {IAX_PORT} is taken on all of {network}.{_FIRST}-{_LAST}: 0.0.0.0 is?"
    )


def free_udp_port(address: str = "127.0.0.1") -> int:
    """A UDP port that nobody has, and that nobody else gets before its user binds it.

    Each process gives out fifty of its own in turn. They lie below those that the kernel gives to
    whoever does not mind (32768 and up), and below what the lab uses for RTP (20000 and up). The
    three behind it are its user's as well: phones take the next one for TLS, or for RTCP.
    """
    for port in itertools.islice(_ports, len(_PORTS_OWN)):
        if can_bind(address, port):
            return port
    raise LabError(f"UDP ports from {_PORTS_OWN_FIRST} on are all taken on {address}")


def can_bind(address: str, port: int) -> bool:
    """Whether nobody has a UDP port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, port))
        except OSError:
            return False
        return True
