"""Finds loopback addresses and ports that nobody uses, so that test runs can share a machine."""

import os
import socket

from tests.lab import LabError
from tests.lab.asterisk_config import IAX_PORT

_FIRST, _LAST = 11, 250
_taken: set[str] = set()


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
    """A UDP port that was free a moment ago."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
        return port


def can_bind(address: str, port: int) -> bool:
    """Whether nobody has a UDP port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, port))
        except OSError:
            return False
        return True
