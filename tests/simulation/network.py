"""Two or more endpoints and a bad network between them, in virtual time, from one seed.

Owns time, each endpoint's own clock, loss, duplication and reordering. What calls do is up to the
scenario that is given.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from random import Random

from bridge.iax2 import Address, Endpoint, Event
from tests.lab.iax2_trace import FrameTrace, Passed


@dataclass(frozen=True, slots=True)
class Weather:
    """How bad the network is, in each direction: probabilities, and delays in seconds."""

    loss: float = 0.0
    duplication: float = 0.0
    delay_s: float = 0.02
    jitter_s: float = 0.0


@dataclass(slots=True)
class Simulation:
    """Virtual time, the datagrams in flight, and what the scenario wants to be woken for.

    `secret` is that of the calls, for the trace of a failure.
    """

    seed: int
    weather: Weather
    secret: bytes = b""
    now: float = 1000.0
    endpoints: dict[Address, Endpoint] = field(default_factory=dict)
    _handlers: dict[Address, Callable[[Event, float], None]] = field(default_factory=dict)
    _queue: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _order: "count[int]" = field(default_factory=count)
    _rates: dict[Address, float] = field(default_factory=dict)
    trace: FrameTrace = field(init=False)
    random: Random = field(init=False)
    watch: Callable[[Address, bytes], None] | None = None
    """Is told each datagram that leaves, lost or not, with its source; the time is `now`."""
    swallow: Callable[[Address, bytes], bool] = lambda _source, _data: False
    """Tells of a datagram that it is lost, whatever the weather."""

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        self.trace = FrameTrace(self.secret)

    def entropy(self, octets: int) -> bytes:
        """Randomness for endpoints, from the seed."""
        return self.random.randbytes(octets)

    def add(
        self,
        address: Address,
        endpoint: Endpoint,
        handle: Callable[[Event, float], None],
        *,
        fast_ppm: float = 0.0,
    ) -> None:
        """Put an endpoint on the network, or another in its place.

        `handle` is told events with the time on the endpoint's own clock, which may be fast.
        """
        self.endpoints[address] = endpoint
        self._handlers[address] = handle
        self._rates[address] = 1 + fast_ppm / 1_000_000

    def time_of(self, address: Address) -> float:
        """Return what an endpoint's own clock shows now."""
        return self.now * self._rates[address]

    def when(self, address: Address, local: float) -> float:
        """Return the first time at which an endpoint's own clock shows so much."""
        time = local / self._rates[address]
        while time * self._rates[address] < local:
            time = math.nextafter(time, math.inf)
        return time

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
                endpoint.handle_timeout(self.time_of(address))
                self._drain(address, endpoint)
        self.now = until

    def report(self) -> str:
        """What to print when a scenario fails: the seed and the newest datagrams."""
        return f"seed {self.seed}, {self.weather}\n" + "\n".join(self.trace.lines())

    def _next_time(self) -> float:
        times = [self._queue[0][0]] if self._queue else []
        times += [
            self.when(address, timeout)
            for address, endpoint in self.endpoints.items()
            if (timeout := endpoint.next_timeout()) is not None
        ]
        return max(min(times, default=float("inf")), self.now)

    def _drain_all(self) -> None:
        for address, endpoint in self.endpoints.items():
            self._drain(address, endpoint)

    def _drain(self, address: Address, endpoint: Endpoint) -> None:
        while True:
            while (transmit := endpoint.poll_transmit()) is not None:
                self.send(address, transmit.data, transmit.address)
            event = endpoint.poll_event()
            if event is None:
                return
            self._handlers[address](event, self.time_of(address))

    def send(self, source: Address, data: bytes, destination: Address) -> None:
        """Put a datagram on the network."""
        if self.watch is not None:
            self.watch(source, data)
        swallowed = self.swallow(source, data)
        copies = 1 + (self.random.random() < self.weather.duplication)
        for _ in range(copies):
            lost = self.random.random() < self.weather.loss or swallowed
            fate = "LOST" if lost else ""
            self.trace.note(Passed(self.now, source, destination, data, fate))
            if not lost:
                delay_s = self.weather.delay_s + self.random.random() * self.weather.jitter_s
                self.at(self.now + delay_s, _Delivery(self, data, source, destination))


@dataclass(frozen=True, slots=True)
class _Delivery:
    simulation: Simulation
    data: bytes
    source: Address
    destination: Address

    def __call__(self) -> None:
        receiver = self.simulation.endpoints.get(self.destination)
        if receiver is not None:
            now = self.simulation.time_of(self.destination)
            receiver.receive_datagram(self.data, self.source, now)
