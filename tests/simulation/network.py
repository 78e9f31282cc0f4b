"""Two or more endpoints and a bad network between them, in virtual time, from one seed.

Owns time, loss, duplication and reordering. What calls do is up to the scenario that is given.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from random import Random

from bridge.iax2 import Address, Endpoint, Event
from bridge.iax2.frames import FULL_HEADER_OCTETS

TRACE_DATAGRAMS = 400


@dataclass(frozen=True, slots=True)
class Weather:
    """How bad the network is, in each direction: probabilities, and delays in seconds."""

    loss: float = 0.0
    duplication: float = 0.0
    delay_s: float = 0.02
    jitter_s: float = 0.0


@dataclass(slots=True)
class Simulation:
    """Virtual time, the datagrams in flight, and what the scenario wants to be woken for."""

    seed: int
    weather: Weather
    now: float = 1000.0
    endpoints: dict[Address, Endpoint] = field(default_factory=dict)
    _handlers: dict[Address, Callable[[Event, float], None]] = field(default_factory=dict)
    _queue: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _order: "count[int]" = field(default_factory=count)
    _trace: deque[str] = field(default_factory=lambda: deque(maxlen=TRACE_DATAGRAMS))
    random: Random = field(init=False)

    def __post_init__(self) -> None:
        self.random = Random(self.seed)

    def entropy(self, octets: int) -> bytes:
        """Randomness for endpoints, from the seed."""
        return self.random.randbytes(octets)

    def add(
        self, address: Address, endpoint: Endpoint, handle: Callable[[Event, float], None]
    ) -> None:
        """Put an endpoint on the network."""
        self.endpoints[address] = endpoint
        self._handlers[address] = handle

    def at(self, when: float, do: Callable[[], None]) -> None:
        """Do something at a time."""
        heappush(self._queue, (when, next(self._order), do))

    def run(self, until: float) -> None:
        """Let time pass."""
        self._drain_all()
        while (when := self._next_time()) <= until:
            self.now = when
            while self._queue and self._queue[0][0] <= when:
                heappop(self._queue)[2]()
                self._drain_all()
            for address, endpoint in self.endpoints.items():
                endpoint.handle_timeout(when)
                self._drain(address, endpoint)
        self.now = until

    def report(self) -> str:
        """What to print when a scenario fails: the seed and the newest datagrams."""
        return f"seed {self.seed}, {self.weather}\n" + "\n".join(self._trace)

    def _next_time(self) -> float:
        times = [self._queue[0][0]] if self._queue else []
        times += [
            timeout
            for endpoint in self.endpoints.values()
            if (timeout := endpoint.next_timeout()) is not None
        ]
        return max(min(times, default=float("inf")), self.now)

    def _drain_all(self) -> None:
        for address, endpoint in self.endpoints.items():
            self._drain(address, endpoint)

    def _drain(self, address: Address, endpoint: Endpoint) -> None:
        while True:
            while (transmit := endpoint.poll_transmit()) is not None:
                self._send(address, transmit.data, transmit.address)
            event = endpoint.poll_event()
            if event is None:
                return
            self._handlers[address](event, self.now)

    def _send(self, source: Address, data: bytes, destination: Address) -> None:
        copies = 1 + (self.random.random() < self.weather.duplication)
        for _ in range(copies):
            lost = self.random.random() < self.weather.loss
            self._note(source, destination, data, lost=lost)
            if not lost:
                delay_s = self.weather.delay_s + self.random.random() * self.weather.jitter_s
                self.at(self.now + delay_s, _Delivery(self, data, source, destination))

    def _note(self, source: Address, destination: Address, data: bytes, *, lost: bool) -> None:
        kind = "full" if data[0] & 0x80 else "mini"
        numbers = ""
        if kind == "full" and len(data) >= FULL_HEADER_OCTETS:
            own, peer = (int.from_bytes(data[at : at + 2], "big") & 0x7FFF for at in (0, 2))
            numbers = f" {own}->{peer}{' R' if data[2] & 0x80 else ''}"
        fate = "LOST" if lost else ""
        self._trace.append(
            f"{self.now:10.3f} {source[0]} > {destination[0]} {kind}{numbers} {len(data)} {fate}"
        )


@dataclass(frozen=True, slots=True)
class _Delivery:
    simulation: Simulation
    data: bytes
    source: Address
    destination: Address

    def __call__(self) -> None:
        receiver = self.simulation.endpoints.get(self.destination)
        if receiver is not None:
            receiver.receive_datagram(self.data, self.source, self.simulation.now)
