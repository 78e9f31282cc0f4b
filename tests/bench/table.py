"""Tables of the bench: text for the terminal, Markdown for docs/performance.md.

Works on measured points alone, fresh or read back from JSON.
"""

import math
from collections.abc import Iterator, Sequence
from statistics import linear_regression
from typing import Final

from tests.bench.measuring import Point
from tests.bench.quiet import Cost

COLUMNS: Final = (
    "calls",
    "gateway",
    "CPU ms per call-second",
    "quiet moments",
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
LOSS_EXPECTED: Final = 1e-4
"""Less than one frame in 10,000 counts as no loss: a shared machine stalls for 60 ms at times."""
_POINTS_TO_FIT: Final = 2


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


def cost(point: Point, fastest: float) -> Cost:
    """What a call took a second."""
    return Cost.of(point.cpu_ms_per_call_s, point.slices, fastest, point.established)


def rows(points: Sequence[Point], fastest: float) -> Iterator[tuple[str, ...]]:
    """One row for each point; `ratio` is the bridge's CPU against the other's at that load.

    Args:
        points: What was measured.
        fastest: What a probe takes on a core that nobody shares (quiet.py).
    """
    own = {point.calls: cost(point, fastest) for point in points if point.gateway == BRIDGE}
    for point in sorted(points, key=lambda p: (p.calls, p.gateway != BRIDGE)):
        bridge = None if point.gateway == BRIDGE else own.get(point.calls)
        yield (
            str(point.calls),
            point.gateway,
            *cost_cells(cost(point, fastest), bridge),
            _loss(point),
            _delays(point, "phone_to_link"),
            _delays(point, "link_to_phone"),
            f"{point.memory_per_call / 1000:.0f}",
            f"{100 * point.crowding:.0f}",
            f"{point.yardstick_ms:.2f}",
        )


def table(points: Sequence[Point], fastest: float) -> str:
    """The rows in columns for a terminal."""
    return columns([COLUMNS, *rows(points, fastest)])


def markdown(points: Sequence[Point], fastest: float) -> str:
    """The rows as a Markdown table."""
    return pipes([COLUMNS, *rows(points, fastest)])


def cost_cells(own: Cost, bridge: Cost | None) -> Iterator[str]:
    """CPU over all of a window, over its quiet slices, and how many times the bridge's it is."""
    yield f"{own.all_ms:.2f}"
    quiet = f"{own.quiet_ms:.2f} ({100 * own.quiet_share:.0f} %)"
    yield NOTHING if math.isnan(own.quiet_ms) else quiet
    ratio = math.nan if bridge is None else own.against(bridge)
    yield NOTHING if math.isnan(ratio) else f"{ratio:.1f} x"


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


def _loss(point: Point) -> str:
    failed = sum(point.failures.values())
    text = NOTHING if math.isnan(point.cpu_ms_per_call_s) else f"{100 * point.loss:.3f}"
    return f"{text}, {failed} calls failed" if failed else text


def _delays(point: Point, direction: str) -> str:
    p50, p99 = (point.delay_ms(direction, quantile) for quantile in ("p50", "p99"))
    return NOTHING if p50 is None or p99 is None else f"{p50:.2f} / {p99:.2f}"
