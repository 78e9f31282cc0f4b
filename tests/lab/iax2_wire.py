"""Two endpoints on one wire in virtual time: what passes, what is lost, and whose deadline is next.

Owns time and the wire. What stands on it, and what an endpoint tells, its users define.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from bridge.iax2 import Address, Endpoint

NEAR: Final[Address] = ("192.0.2.1", 4569)
FAR: Final[Address] = ("192.0.2.2", 4569)
START: Final = 1000.0

_Passed = TypeVar("_Passed")
_Told = TypeVar("_Told")
_Kind = TypeVar("_Kind")


@dataclass(slots=True, kw_only=True)
class Wire(Generic[_Passed, _Told]):
    """Neither loses nor delays, except that what `swallow` returns True for is lost."""

    now: float = START
    wire: list[_Passed] = field(default_factory=list)
    events: dict[Address, list[_Told]] = field(default_factory=lambda: {NEAR: [], FAR: []})
    swallow: Callable[[_Passed], bool] = lambda _passed: False
    near: Endpoint = field(init=False)
    far: Endpoint = field(init=False)

    def read(self, source: Address, data: bytes) -> _Passed:
        """Return what stands on the wire for a datagram that is sent now."""
        raise NotImplementedError

    def poll(self, endpoint: Endpoint) -> _Told | None:
        """Return the next that an endpoint tells."""
        raise NotImplementedError

    def told(self, side: Address, kind: type[_Kind]) -> list[_Kind]:
        """Return what a side was told of one kind, in order."""
        return [event for event in self.events[side] if isinstance(event, kind)]

    def exchange(self) -> None:
        """Carry datagrams until neither side has anything to say."""
        while self._carry(self.near, NEAR, self.far) or self._carry(self.far, FAR, self.near):
            pass

    def elapse(self, seconds: float) -> None:
        """Let time pass: each deadline is served at its time."""
        end = self.now + seconds
        self.exchange()
        while (due := self._next_timeout()) is not None and due <= end:
            self.now = max(due, self.now)
            self.near.handle_timeout(self.now)
            self.far.handle_timeout(self.now)
            self.exchange()
        self.now = end

    def _carry(self, sender: Endpoint, source: Address, receiver: Endpoint) -> bool:
        carried = False
        while (transmit := sender.poll_transmit()) is not None:
            passed = self.read(source, transmit.data)
            self.wire.append(passed)
            carried = True
            if not self.swallow(passed):
                receiver.receive_datagram(transmit.data, source, self.now)
        while (event := self.poll(sender)) is not None:
            self.events[source].append(event)
        return carried

    def _next_timeout(self) -> float | None:
        timeouts = (self.near.next_timeout(), self.far.next_timeout())
        return min((timeout for timeout in timeouts if timeout is not None), default=None)
