"""RTP ports: which pairs of the configured range are free, and sockets bound to them.

RTP has the even port, RTCP the odd one above it (RFC 3550 section 11). Knows nothing of packets.
"""

import errno
import random
import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from bridge.errors import BridgeError

PORT_MAX: Final = 65_535

Receive = Callable[[int], tuple[bytes, Any]]
"""As recvfrom: takes the most octets, returns a datagram and its source."""
Send = Callable[[bytes, Any], int]
"""As sendto: takes a datagram and its destination."""

_HOSTS_REMEMBERED: Final = 64
_DISCARDED_MAX: Final = 1000
_ATTEMPTS_MAX: Final = 100
"""Pairs tried for one call: each attempt holds up the loop for some 20 us."""


class PortsExhaustedError(BridgeError):
    """No pair of ports of the configured range can be bound."""


@dataclass(frozen=True, slots=True)
class PortPair:
    """Two non-blocking UDP sockets bound to neighbouring ports of one address."""

    rtp: socket.socket
    rtcp: socket.socket
    rtp_port: int

    @property
    def is_ipv6(self) -> bool:
        """Whether they can be reached by IPv6, else by IPv4: never by both."""
        return self.rtp.family == socket.AF_INET6

    @property
    def receive(self) -> Receive:
        """Reads an RTP packet."""
        return self.rtp.recvfrom

    @property
    def send(self) -> Send:
        """Sends one."""
        return self.rtp.sendto

    @property
    def receive_report(self) -> Receive:
        """Reads an RTCP packet."""
        return self.rtcp.recvfrom

    @property
    def send_report(self) -> Send:
        """Sends one."""
        return self.rtcp.sendto

    def discard_waiting(self) -> None:
        """Drop what has come before anybody was to hear it: it would all be heard at once."""
        with suppress(OSError):
            for _ in range(_DISCARDED_MAX):
                self.rtp.recv(1)


class PortPool:
    """The free pairs of a port range.

    Pairs are handed out in random order, since a stranger who guesses ports guesses calls, and a
    pair that was given back is the last to be used again.
    """

    def __init__(self, first_port: int, last_port: int, shuffle: random.Random) -> None:
        """Take the pairs that fit the range.

        Args:
            first_port: Lowest port, 1 to 65535; an odd one is left out.
            last_port: Highest port, included.
            shuffle: `random.SystemRandom()` outside of tests.

        Raises:
            ValueError: No pair fits.
        """
        first_even = first_port + first_port % 2
        pairs = list(range(first_even, min(last_port, PORT_MAX), 2))
        if not pairs or first_port < 1:
            raise ValueError(f"no pair of ports in {first_port}-{last_port}")
        shuffle.shuffle(pairs)
        self._free = deque(pairs)

    @property
    def free_pairs(self) -> int:
        """How many pairs are not in use by us."""
        return len(self._free)

    def open(self, host: str) -> PortPair:
        """Bind a pair on a local IPv4 or IPv6 address.

        Ports that another process holds are passed over, and tried again later.

        Raises:
            PortsExhaustedError: No pair is free, or the system has no sockets left.
        """
        for _ in range(min(len(self._free), _ATTEMPTS_MAX)):
            rtp_port = self._free.popleft()
            try:
                return _bind_pair(host, rtp_port)
            except OSError as error:
                self._free.append(rtp_port)
                if error.errno != errno.EADDRINUSE:
                    raise PortsExhaustedError(f"no RTP ports: {error.strerror}") from error
        raise PortsExhaustedError("all pairs of the RTP port range are in use")

    def close(self, pair: PortPair) -> None:
        """Close both sockets and take the ports back."""
        pair.rtp.close()
        pair.rtcp.close()
        self._free.append(pair.rtp_port)


def _bind_pair(host: str, rtp_port: int) -> PortPair:
    rtp = _bind(host, rtp_port)
    try:
        return PortPair(rtp, _bind(host, rtp_port + 1), rtp_port)
    except OSError:
        rtp.close()
        raise


@lru_cache(maxsize=_HOSTS_REMEMBERED)
def _resolved(host: str) -> tuple[socket.AddressFamily, tuple[Any, ...]]:
    """The family of one of our addresses, in numbers, and it in the family's form."""
    flags = socket.AI_NUMERICHOST
    family, *_, address = socket.getaddrinfo(host, 0, type=socket.SOCK_DGRAM, flags=flags)[0]
    return family, address


def _bind(host: str, port: int) -> socket.socket:
    family, address = _resolved(host)
    bound = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind((address[0], port, *address[2:]))
    except OSError:
        bound.close()
        raise
    return bound
