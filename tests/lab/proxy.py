"""A UDP proxy in front of a far end: records, injects, and later loses, doubles and reorders.

The bridge's link points at the proxy; each address that speaks to it gets a socket of its own
toward the far end, so that the far end tells them apart.
"""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio

from tests.lab.addresses import free_iax_address
from tests.lab.asterisk_config import IAX_PORT
from tests.lab.capture import Address, Datagram, LinkCapture
from tests.lab.nursery import open_lab_nursery

DATAGRAM_OCTETS_MAX = 65535
REORDER_S = 0.03


@dataclass(frozen=True, slots=True)
class Impairment:
    """What happens to datagrams of each direction: shares from 0 to 1."""

    loss: float = 0.0
    duplication: float = 0.0
    reordering: float = 0.0
    seed: int = 1


@dataclass
class LinkProxy(LinkCapture):
    """The proxy; as a capture it holds what came in, before any impairment.

    Attributes:
        address: Where the bridge's link has to point to.
        target: The far end.
        lost: Which of the datagrams got lost, by their place in the list.
    """

    address: Address = ("", 0)
    target: Address = ("", 0)
    impairment: Impairment = Impairment()
    lost: set[int] = field(default_factory=set, repr=False)
    _listener: trio.socket.SocketType | None = field(default=None, repr=False)
    _upstream: dict[Address, trio.socket.SocketType] = field(default_factory=dict, repr=False)
    _random: random.Random = field(default_factory=random.Random, repr=False)

    def clients(self) -> list[Address]:
        """The addresses that have spoken to the proxy."""
        return list(self._upstream)

    async def inject(self, payload: bytes, client: Address) -> None:
        """Sends a client a datagram that comes from the right address."""
        assert self._listener is not None
        await self._listener.sendto(payload, client)

    async def inject_from_elsewhere(self, payload: bytes, client: Address, host: str) -> None:
        """Sends a client a datagram from another address than its peer's."""
        with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as stranger:
            await stranger.bind((host, 0))
            await stranger.sendto(payload, client)

    async def run(self, nursery: trio.Nursery) -> None:
        """Forwards from the clients until cancelled."""
        assert self._listener is not None
        while True:
            payload, client = await self._listener.recvfrom(DATAGRAM_OCTETS_MAX)
            if client not in self._upstream:
                upstream = trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM)
                await upstream.bind((self.address[0], 0))
                self._upstream[client] = upstream
                nursery.start_soon(self._return_to, client, upstream, nursery)
            self.datagrams.append(Datagram(trio.current_time(), client, self.address, payload))
            await self._forward(payload, self._upstream[client], self.target, nursery)

    def close(self) -> None:
        """Closes all sockets."""
        for held in (self._listener, *self._upstream.values()):
            if held is not None:
                held.close()

    async def _return_to(
        self, client: Address, upstream: trio.socket.SocketType, nursery: trio.Nursery
    ) -> None:
        assert self._listener is not None
        while True:
            payload, source = await upstream.recvfrom(DATAGRAM_OCTETS_MAX)
            if source == self.target:
                self.datagrams.append(Datagram(trio.current_time(), self.address, client, payload))
                await self._forward(payload, self._listener, client, nursery)

    async def _forward(
        self,
        payload: bytes,
        way: trio.socket.SocketType,
        destination: Address,
        nursery: trio.Nursery,
    ) -> None:
        if self._random.random() < self.impairment.loss:
            self.lost.add(len(self.datagrams) - 1)
            return
        copies = 1 + (self._random.random() < self.impairment.duplication)
        for _ in range(copies):
            if self._random.random() < self.impairment.reordering:
                nursery.start_soon(_send_late, payload, way, destination)
            else:
                await way.sendto(payload, destination)


@asynccontextmanager
async def open_proxy(
    target: str, impairment: Impairment | None = None, address: str | None = None
) -> AsyncIterator[LinkProxy]:
    """A proxy on port 4569 of a loopback address of its own, toward that port of a target."""
    chosen = impairment or Impairment()
    listener = trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM)
    await listener.bind((address or free_iax_address(), IAX_PORT))
    proxy = LinkProxy(
        address=listener.getsockname()[:2],
        target=(target, IAX_PORT),
        impairment=chosen,
        _listener=listener,
        _random=random.Random(chosen.seed),
    )
    try:
        async with open_lab_nursery() as nursery:
            nursery.start_soon(proxy.run, nursery)
            yield proxy
    finally:
        proxy.close()


async def _send_late(payload: bytes, way: trio.socket.SocketType, destination: Address) -> None:
    await trio.sleep(REORDER_S)
    await way.sendto(payload, destination)
