"""Tables of the bench: text for the terminal, Markdown for docs/performance.md.

Works on measured points alone, fresh or read back from JSON.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import linear_regression
from typing import Final

from tests.bench.measuring import Point

COLUMNS: Final = (
    "calls",
    "gateway",
    "CPU ms per call-second",
    "ratio",
    "loss %",
    "phone→link p50 / p99 ms",
    "link→phone p50 / p99 ms",
    "memory per call kB",
    "crowding %",
    "yardstick ms",
)
NOTHING: Final = "-"
BRIDGE: Final = "bridge"
CPU_EXPECTED_MS: Final = {50: 3.0, 100: 2.5}
"""CPU per call-second that the first version is to reach, by number of calls."""
MEMORY_EXPECTED_KB: Final = 250.0
LOSS_EXPECTED: Final = 1e-4
"""Less than one frame in 10,000 counts as no loss: a shared machine stalls for 60 ms at times."""
LOSS_EXPECTED_AT: Final = 200
_POINTS_TO_FIT: Final = 2


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


def growth(points: Sequence[Point], gateway: str) -> float:
    """The exponent k of CPU = a * calls ** k that fits a gateway's points best; nan below two.

    Below 1, each call is cheaper the more there are. Points with lost calls or audio do not count.
    """
    kept = _sound(points, gateway)
    if len({point.calls for point in kept}) < _POINTS_TO_FIT:
        return math.nan
    calls = [math.log(point.calls) for point in kept]
    cpu = [math.log(point.calls * point.cpu_ms_per_call_s) for point in kept]
    return linear_regression(calls, cpu).slope


def growth_told(points: Sequence[Point]) -> Iterator[str]:
    """The exponent of each gateway, in words."""
    for name in sorted({point.gateway for point in points}, key=lambda name: name != BRIDGE):
        kept = [point.calls for point in _sound(points, name)]
        exponent = growth(points, name)
        if not math.isnan(exponent):
            yield f"CPU of {name}, {min(kept)} to {max(kept)} calls: grows as calls^{exponent:.2f}"


def _sound(points: Sequence[Point], gateway: str) -> list[Point]:
    return [
        point
        for point in points
        if point.gateway == gateway and not point.failures and point.loss <= LOSS_EXPECTED
    ]


def rows(points: Sequence[Point]) -> Iterator[tuple[str, ...]]:
    """One row for each point; `ratio` is the bridge's CPU against the other's at that load."""
    own = {point.calls: point for point in points if point.gateway == BRIDGE}
    for point in sorted(points, key=lambda p: (p.calls, p.gateway != BRIDGE)):
        yield (
            str(point.calls),
            point.gateway,
            f"{point.cpu_ms_per_call_s:.2f}",
            _ratio(point, own.get(point.calls)),
            _loss(point),
            _delays(point, "phone_to_link"),
            _delays(point, "link_to_phone"),
            f"{point.memory_per_call / 1000:.0f}",
            f"{100 * point.crowding:.0f}",
            f"{point.yardstick_ms:.2f}",
        )


def table(points: Sequence[Point]) -> str:
    """The rows in columns for a terminal."""
    return columns([COLUMNS, *rows(points)])


def markdown(points: Sequence[Point]) -> str:
    """The rows as a Markdown table."""
    return pipes([COLUMNS, *rows(points)])


def columns(lines: Sequence[Sequence[str]]) -> str:
    """Lines of equally many cells, aligned for a terminal; the first one is their head."""
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        for line in lines
    )


def pipes(lines: Sequence[Sequence[str]]) -> str:
    """The same as a Markdown table."""
    head, *others = lines
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ("---:",) * len(head), *others))


def verdicts(points: Sequence[Point]) -> Iterator[Verdict]:
    """What is expected of the bridge, where its point was measured."""
    for point in points:
        if point.gateway != BRIDGE:
            continue
        at = f"at {point.calls} calls"
        yield Verdict(f"calls that failed {at}", 0, sum(point.failures.values()))
        if limit := CPU_EXPECTED_MS.get(point.calls):
            yield Verdict(f"CPU ms per call-second {at}", limit, point.cpu_ms_per_call_s)
        if point.calls <= LOSS_EXPECTED_AT:
            yield Verdict(f"share of frames lost {at}", LOSS_EXPECTED, point.loss)
        # At few calls, what the process grows by for other reasons outweighs the calls.
        if point.calls in CPU_EXPECTED_MS:
            yield Verdict(f"kB a call {at}", MEMORY_EXPECTED_KB, point.memory_per_call / 1000)


def _ratio(point: Point, bridge: Point | None) -> str:
    if bridge is None or point is bridge or not bridge.cpu_ms_per_call_s > 0:
        return NOTHING
    return f"{point.cpu_ms_per_call_s / bridge.cpu_ms_per_call_s:.1f} x"


def _loss(point: Point) -> str:
    failed = sum(point.failures.values())
    text = NOTHING if math.isnan(point.cpu_ms_per_call_s) else f"{100 * point.loss:.3f}"
    return f"{text}, {failed} calls failed" if failed else text


def _delays(point: Point, direction: str) -> str:
    p50, p99 = (point.delay_ms(direction, quantile) for quantile in ("p50", "p99"))
    return NOTHING if p50 is None or p99 is None else f"{p50:.2f} / {p99:.2f}"
