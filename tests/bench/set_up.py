"""Calls set up and torn down at rates, gateways side by side: what each costs, how late it is told.

python -m tests.bench.run --rates 100,200

A call is up for 0.2 s and some more for its digits. Phones are silent, so Asterisk relays nothing;
the bridge sends its 50 frames a second all the same, as it always does.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from tests.bench.call_rate import measure_call_rate, summary
from tests.bench.quiet import Cost
from tests.bench.table import BRIDGE, NOTHING, columns, cost_cells, pipes
from tests.bench.tools import Tools
from tests.bench.usage import yardstick_ms

RATES: Final = (100, 200)
RATES_ALONE: Final = (300, 400, 400, 400)
"""For the bridge alone: Asterisk takes no more than 200 to 300 a second. The highest one more than
once, as it takes nearly all of a core: a stranger on the machine decides how it goes."""
SECONDS: Final = 10.0
SECONDS_AT_HIGHEST: Final = 30.0
"""At the highest rate: calls that are over stay in memory for a while, PJSIP's for 32 s."""
COLUMNS: Final = (
    "calls a second",
    "gateway",
    "CPU ms a call",
    "quiet moments",
    "ratio",
    "failed of all",
    "first response p99 ms",
    "yardstick ms",
)

Row = Mapping[str, Any]


def measure_set_up(name: str, tools: Tools, rate_per_s: float) -> Row:
    """Measures one gateway at one rate, flat and fit for JSON.

    Raises:
        LabError: A program did not start, or ended early.
    """
    seconds = SECONDS_AT_HIGHEST if rate_per_s >= max(RATES_ALONE) else SECONDS
    speed_before_ms = yardstick_ms()
    result = measure_call_rate(name, tools, rate_per_s, seconds)
    speed_ms = (speed_before_ms + yardstick_ms()) / 2
    return {
        "gateway": name,
        **summary(result),
        "yardstick_ms": round(speed_ms, 2),
        "slices": result.slices,
    }


def cost(row: Row, fastest: float) -> Cost:
    """What a call took in all."""
    return Cost.of(row["cpu_ms_per_call"], row["slices"], fastest, row["rate_per_s"])


def lines(measured: Sequence[Row], fastest: float) -> Iterator[tuple[str, ...]]:
    """One line for each; `ratio` is the CPU against the bridge's at that rate.

    Args:
        measured: The rows.
        fastest: What a probe takes on a core that nobody shares (quiet.py).
    """
    own = {row["rate_per_s"]: cost(row, fastest) for row in measured if row["gateway"] == BRIDGE}
    for row in sorted(measured, key=lambda row: (row["rate_per_s"], row["gateway"] != BRIDGE)):
        bridge = None if row["gateway"] == BRIDGE else own.get(row["rate_per_s"])
        yield (
            f"{row['rate_per_s']:g}",
            row["gateway"],
            *cost_cells(cost(row, fastest), bridge),
            f"{row['failed']} of {row['calls']}",
            f"{row['trying_p99_ms']:.1f}" if row["trying_p99_ms"] else NOTHING,
            f"{row['yardstick_ms']:.2f}",
        )


def table(measured: Sequence[Row], fastest: float) -> str:
    """The lines in columns for a terminal."""
    return columns([COLUMNS, *lines(measured, fastest)])


def markdown(measured: Sequence[Row], fastest: float) -> str:
    """The lines as a Markdown table."""
    return pipes([COLUMNS, *lines(measured, fastest)])
