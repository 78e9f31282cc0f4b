"""An eavesdropper between bridge and far end: passes every datagram on and keeps a copy.

It has no keys and changes nothing. The bridge's link points at it, as if it sat on the router that
all packets of the link cross.
"""

import time
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

import trio

from bridge.iax2 import Address

_DATAGRAM_OCTETS_MAX: Final = 65_535


class Way(Enum):
    """Where a datagram goes."""

    TO_FAR_END = "bridge -> far end"
    TO_BRIDGE = "far end -> bridge"


@dataclass(frozen=True, slots=True)
class Datagram:
    """A copy of one datagram; `at` is on the monotonic clock, in seconds."""

    at: float
    way: Way
    payload: bytes = field(repr=False)


class Eavesdropper:
    """A UDP forwarder on a loopback address, in front of the far end.

    Attributes:
        far_end: Where the bridge's datagrams go; None as long as it is not known.
        datagrams: Everything that passed, in order, as long as `keeps` is set.
        keeps: Whether copies are made.
    """

    def __init__(self, host: str) -> None:
        self.far_end: Address | None = None
        self.datagrams: list[Datagram] = []
        self.keeps = True
        self._host = host
        self._bridge: Address | None = None
        self._outer = trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM)
        self._inner = trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM)

    @property
    def address(self) -> Address:
        """Where the bridge's link has to point; known once `run` has started."""
        bound: Address = self._outer.getsockname()
        return bound

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Forward until cancelled."""
        with self._outer, self._inner:
            await self._outer.bind((self._host, 0))
            await self._inner.bind((self._host, 0))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._forward_to_far_end)
                nursery.start_soon(self._forward_to_bridge)
                task_status.started()

    async def _forward_to_far_end(self) -> None:
        while True:
            payload, self._bridge = await self._outer.recvfrom(_DATAGRAM_OCTETS_MAX)
            self._keep(Way.TO_FAR_END, payload)
            if self.far_end is not None:
                await self._inner.sendto(payload, self.far_end)

    async def _forward_to_bridge(self) -> None:
        while True:
            payload, source = await self._inner.recvfrom(_DATAGRAM_OCTETS_MAX)
            if source == self.far_end and self._bridge is not None:
                self._keep(Way.TO_BRIDGE, payload)
                await self._outer.sendto(payload, self._bridge)

    def _keep(self, way: Way, payload: bytes) -> None:
        if self.keeps:
            self.datagrams.append(Datagram(time.monotonic(), way, payload))
