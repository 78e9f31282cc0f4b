"""How many calls a source may have with us: counted, so that to ask costs the same at any load.

A source is an IPv4 address, or the /64 network of an IPv6 one, for whoever has one address of it
has them all. Knows nothing of calls but where they come from and whether they proved a secret.
"""

from collections import Counter
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from bridge.iax2.auth import Address

CALLS_PER_SOURCE_MAX: Final = 2048
"""Asterisk's limit of call numbers for an address."""
UNAUTHENTICATED_PER_SOURCE_MAX: Final = 8
UNAUTHENTICATED_MAX: Final = 512
"""Of all sources together."""

_NETWORK_OCTETS: Final = 8

Source = str | bytes


class Admission:
    """Counts the calls that were placed to us, until the last of each is forgotten.

    A call that is over without proof counts still: its number and memory are not free yet.
    """

    def __init__(self) -> None:
        self._calls: Counter[Source] = Counter()
        self._unproven: Counter[Source] = Counter()
        self._unproven_total = 0

    @property
    def sources(self) -> int:
        """How many sources have calls."""
        return len(self._calls)

    def why_refused(self, address: Address) -> str | None:
        """Return why a source may not have another call, or None where it may."""
        source = source_of(address)
        if (
            self._unproven_total >= UNAUTHENTICATED_MAX
            or self._unproven[source] >= UNAUTHENTICATED_PER_SOURCE_MAX
        ):
            return "too many unauthenticated calls"
        if self._calls[source] >= CALLS_PER_SOURCE_MAX:
            return "too many calls of a source"
        return None

    def enter(self, address: Address) -> None:
        """Count a call, which has not proven its secret yet."""
        source = source_of(address)
        self._calls[source] += 1
        self._unproven[source] += 1
        self._unproven_total += 1

    def prove(self, address: Address) -> None:
        """Take note that a call has proven its secret."""
        _take_one(self._unproven, source_of(address))
        self._unproven_total -= 1

    def leave(self, address: Address, *, proven: bool) -> None:
        """Forget a call."""
        if not proven:
            self.prove(address)
        _take_one(self._calls, source_of(address))


def source_of(address: Address) -> Source:
    """Return what counts as one source: an IPv4 address, or the /64 of an IPv6 one."""
    host = address[0]
    if ":" not in host:
        return host
    plain = host_of(address)
    return str(plain) if isinstance(plain, IPv4Address) else plain.packed[:_NETWORK_OCTETS]


def host_of(address: Address) -> IPv4Address | IPv6Address:
    """Return the host, without scope; IPv4 where a socket for both shows ::ffff:192.0.2.1."""
    parsed = ip_address(address[0].partition("%")[0])
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return mapped or parsed


def _take_one(counts: Counter[Source], source: Source) -> None:
    counts[source] -= 1
    if not counts[source]:
        del counts[source]
