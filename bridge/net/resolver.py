"""Names of peers to addresses, kept fresh without blocking the loop."""

import socket
from collections.abc import Callable
from typing import Final, cast

import structlog
import trio

from bridge.iax2 import Address

REFRESH_S: Final = 300.0
RETRY_FIRST_S: Final = 2.0
RETRY_MAX_S: Final = 60.0

_log = structlog.get_logger(__name__)


async def keep_resolved(
    host: str, port: int, family: int, take: Callable[[Address], None], link: str
) -> None:
    """Look a peer's name up now and again, and hand each address to `take`.

    Args:
        host: A name or an address literal.
        port: UDP port.
        family: AF_INET or AF_INET6, that of our socket.
        take: Called with every answer, the same one included.
        link: Name for the log.
    """
    retry_s = RETRY_FIRST_S
    while True:
        address = await resolve(host, port, family)
        if address is None:
            _log.warning("the peer's name does not resolve", link=link, retry_s=retry_s)
            await trio.sleep(retry_s)
            retry_s = min(retry_s * 2, RETRY_MAX_S)
            continue
        take(address)
        retry_s = RETRY_FIRST_S
        await trio.sleep(REFRESH_S)


async def resolve(host: str, port: int, family: int) -> Address | None:
    """Return the first address of a name in a thread of its own, None where it has none.

    For an IPv6 socket an IPv4 address is ::ffff:192.0.2.1, and stands where getaddrinfo sorts it:
    behind one of IPv6 that this machine can reach.
    """
    # With AI_ADDRCONFIG, a machine without IPv6 would find no address for such a socket.
    both = socket.AI_V4MAPPED | socket.AI_ALL
    flags = both if family == socket.AF_INET6 else socket.AI_ADDRCONFIG
    try:
        found = await trio.socket.getaddrinfo(
            host, port, family=family, type=socket.SOCK_DGRAM, flags=flags
        )
    except (OSError, UnicodeError):  # the latter for a label or a scope that is too long
        return None
    return cast("Address", found[0][4])
