"""What is expected of the bridge, and whether a run of the bench saw it.

CPU time is judged in quiet slices where there are enough of them (quiet.py); delay and loss as they
are, with whatever else the machine did.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from tests.bench import set_up
from tests.bench.measuring import Point
from tests.bench.table import BRIDGE, LOSS_EXPECTED, cost

CPU_MS: Final = {10: 5.0, 50: 1.6, 100: 1.2, 200: 0.9, 500: 0.7}
"""CPU per call-second, by number of calls."""
DELAYS_AT: Final = 200
DELAYS_MS: Final = {
    ("link_to_phone", "p50"): 0.5,
    ("link_to_phone", "p99"): 3.0,
    ("phone_to_link", "p50"): 8.0,
    ("phone_to_link", "p99"): 25.0,
}
MEMORY_KB: Final = 180.0
MEMORY_FROM: Final = 50
"""At fewer calls, what the process grows by for other reasons outweighs them."""
IDLE_MEMORY_MB: Final = 90.0
SET_UP_MS: Final = 2.0
FIRST_RESPONSE_MS: Final = 20.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """One expectation and what was seen."""

    what: str
    limit: float
    seen: float

    @property
    def met(self) -> bool:
        """False for a value that was not measured (nan) too."""
        return self.seen <= self.limit

    def __str__(self) -> str:
        return (
            f"{'ok    ' if self.met else 'MISSED'} {self.what}: {self.seen:.4g} of {self.limit:g}"
        )


def verdicts(
    points: Sequence[Point], rates: Sequence[set_up.Row], fastest: float
) -> Iterator[Verdict]:
    """What is expected of the bridge, where it was measured."""
    own = [point for point in points if point.gateway == BRIDGE]
    for point in own:
        yield from _of_calls(point, fastest)
    if own:
        idle_mb = min(point.idle_memory for point in own) / 1e6
        yield Verdict("MB without a call", IDLE_MEMORY_MB, idle_mb)
    for row in rates:
        if row["gateway"] == BRIDGE:
            yield from _of_rate(row, fastest)


def _of_calls(point: Point, fastest: float) -> Iterator[Verdict]:
    at = f"at {point.calls} calls"
    yield Verdict(f"calls that failed {at}", 0, sum(point.failures.values()))
    yield Verdict(f"share of frames lost {at}", LOSS_EXPECTED, point.loss)
    if limit := CPU_MS.get(point.calls):
        yield Verdict(f"CPU ms per call-second {at}", limit, cost(point, fastest).best_ms)
    if point.calls >= MEMORY_FROM:
        yield Verdict(f"kB a call {at}", MEMORY_KB, point.memory_per_call / 1000)
    if point.calls == DELAYS_AT:
        for (direction, quantile), limit in DELAYS_MS.items():
            seen = point.delay_ms(direction, quantile)
            what = f"ms from {direction.replace('_', ' ')}, {quantile}, {at}"
            yield Verdict(what, limit, math.nan if seen is None else seen)


def _of_rate(row: set_up.Row, fastest: float) -> Iterator[Verdict]:
    at = f"at {row['rate_per_s']:g} a second"
    yield Verdict(f"calls that failed {at}", 0, row["failed"])
    if row["rate_per_s"] >= max(set_up.RATES_ALONE):
        yield Verdict(f"CPU ms a call {at}", SET_UP_MS, set_up.cost(row, fastest).best_ms)
        yield Verdict(f"ms to the first response, p99, {at}", FIRST_RESPONSE_MS, _first_ms(row))


def _first_ms(row: set_up.Row) -> float:
    first = row["trying_p99_ms"]
    return math.nan if first is None else float(first)
