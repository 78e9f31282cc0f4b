"""Names of peers in virtual time, behind a name server that does what a test says."""

# ruff: noqa: ARG001 - autojump_clock does its work by being an argument

import socket
from collections.abc import Iterator
from typing import Any

import pytest
import structlog.testing
import trio
from trio.testing import MockClock

from bridge.iax2 import Address
from bridge.net.resolver import REFRESH_S, RETRY_FIRST_S, RETRY_MAX_S, keep_resolved, resolve

HOST = "hq.example.net"


class NameServer(trio.abc.HostnameResolver):
    """Answers with `hosts`, or not at all; takes down when it was asked."""

    def __init__(self) -> None:
        self.hosts: list[str] = []
        self.asked_at: list[float] = []
        self.error: Exception = socket.gaierror(socket.EAI_NONAME, "unknown")
        self.hangs = False
        self.flags = 0

    async def getaddrinfo(  # noqa: PLR0917 - trio's own
        self,
        host: bytes | None,
        port: Any,  # noqa: ANN401 - trio's own
        family: int = 0,
        type: int = 0,  # noqa: A002 - trio's own
        proto: int = 0,
        flags: int = 0,
    ) -> Any:  # noqa: ANN401
        assert host == HOST.encode()
        assert type == socket.SOCK_DGRAM
        self.asked_at.append(trio.current_time())
        self.flags = flags
        if self.hangs:
            await trio.sleep_forever()
        await trio.lowlevel.checkpoint()
        if not self.hosts:
            raise self.error
        return [(family, type, proto, "", (found, port)) for found in self.hosts]

    async def getnameinfo(self, sockaddr: Any, flags: int) -> Any:  # noqa: ANN401
        raise NotImplementedError


@pytest.fixture
async def server() -> NameServer:
    server = NameServer()
    trio.socket.set_custom_hostname_resolver(server)
    return server


@pytest.fixture
def logs() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as captured:
        yield captured


async def keep(seconds: float, taken: list[Address], host: str = HOST) -> None:
    with trio.move_on_after(seconds):
        await keep_resolved(host, 4569, socket.AF_INET, taken.append, "hq")


async def test_the_first_address_is_taken_at_once(
    autojump_clock: MockClock, server: NameServer
) -> None:
    server.hosts = ["192.0.2.7", "192.0.2.8"]
    taken: list[Address] = []
    await keep(1, taken)
    assert taken == [("192.0.2.7", 4569)]


async def test_an_address_is_refreshed(autojump_clock: MockClock, server: NameServer) -> None:
    server.hosts = ["192.0.2.7"]
    taken: list[Address] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep, 2 * REFRESH_S + 1, taken)
        await trio.sleep(REFRESH_S + 1)
        server.hosts = ["192.0.2.99"]
    assert taken == [("192.0.2.7", 4569)] * 2 + [("192.0.2.99", 4569)]


async def test_a_name_that_does_not_resolve_is_asked_for_again_ever_more_slowly(
    autojump_clock: MockClock, server: NameServer, logs: list[Any]
) -> None:
    taken: list[Address] = []
    await keep(200, taken)
    assert not taken
    waited = [b - a for a, b in zip(server.asked_at, server.asked_at[1:], strict=False)]
    assert waited[:6] == [RETRY_FIRST_S, 4, 8, 16, 32, RETRY_MAX_S]
    assert max(waited) == RETRY_MAX_S
    assert {entry["event"] for entry in logs} == {"the peer's name does not resolve"}
    assert {entry["link"] for entry in logs} == {"hq"}


async def test_the_next_trouble_begins_with_short_waits_again(
    autojump_clock: MockClock, server: NameServer, logs: list[Any]
) -> None:
    taken: list[Address] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep, 1000, taken)
        await trio.sleep(50)
        server.hosts = ["192.0.2.7"]
        await trio.sleep(100)
        server.hosts = []
    assert len(taken) == 1
    failed = [entry["retry_s"] for entry in logs]
    assert failed.count(RETRY_FIRST_S) == 2


async def test_a_name_server_that_hangs_holds_nothing_up(
    autojump_clock: MockClock, server: NameServer
) -> None:
    server.hangs = True
    await keep(5, [])
    assert len(server.asked_at) == 1


@pytest.mark.parametrize(
    "error",
    [
        socket.gaierror(socket.EAI_AGAIN, "later"),
        OSError("no network"),
    ],
)
async def test_no_trouble_of_a_look_up_ends_the_service(
    autojump_clock: MockClock, server: NameServer, error: Exception
) -> None:
    server.error = error
    assert await resolve(HOST, 4569, socket.AF_INET) is None


@pytest.mark.parametrize(
    ("host", "family", "address"),
    [
        ("127.0.0.9", socket.AF_INET, ("127.0.0.9", 4569)),
        ("::1", socket.AF_INET6, ("::1", 4569, 0, 0)),
        ("127.0.0.9", socket.AF_INET6, ("::ffff:127.0.0.9", 4569, 0, 0)),
    ],
)
async def test_an_address_needs_no_name_server(
    autojump_clock: MockClock, server: NameServer, host: str, family: int, address: Address
) -> None:
    assert await resolve(host, 4569, family) == address
    assert not server.asked_at


@pytest.mark.parametrize(
    ("family", "flags"),
    [
        (socket.AF_INET, socket.AI_ADDRCONFIG),
        (socket.AF_INET6, socket.AI_V4MAPPED | socket.AI_ALL),
    ],
)
async def test_a_socket_for_both_families_finds_addresses_of_both(
    autojump_clock: MockClock, server: NameServer, family: int, flags: int
) -> None:
    assert await resolve(HOST, 4569, family) is None
    assert server.flags == flags


async def test_a_name_that_cannot_be_one_has_no_address() -> None:
    assert await resolve("fe80::1%" + 64 * "x", 4569, socket.AF_INET6) is None
