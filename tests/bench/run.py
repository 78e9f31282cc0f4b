"""`make bench`: what a frame costs the engine, and a call each gateway, side by side in one run.

python -m tests.bench.run --calls 10,50,100,200 --seconds 20 --json docs/performance.json
"""

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a script knows its own folder alone

from tests.bench import frame_cost  # after the path is known
from tests.bench.gateways import GATEWAYS, Site
from tests.bench.load import LoadPlan
from tests.bench.measuring import Point, measure
from tests.bench.picture import draw
from tests.bench.set_up import RATES, RATES_ALONE, measure_set_up
from tests.bench.set_up import table as set_up_table
from tests.bench.table import BRIDGE, growth_told, table, verdicts
from tests.bench.tools import Tools, build_tools
from tests.lab import LabError

CALLS: Final = (10, 50, 100, 200)
CALLS_ALONE: Final = (500, 1000)
"""For the bridge alone: Asterisk has broken down before."""
SECONDS: Final = 20.0
STRANGERS_MAX: Final = 0.2
"""Share of time that somebody waited for a core on the machine before any load was there."""
SET_UP_RATE_PER_S: Final = 25.0


def plan(
    calls: Sequence[int], gateways: Sequence[str], alone: Sequence[int] = ()
) -> Iterator[tuple[int, str]]:
    """Yields each number of calls with each gateway, interleaved; then those of the bridge alone.

    A machine changes over minutes: gateways that are compared run next to each other, and take
    turns in going first.
    """
    for turn, number in enumerate(calls):
        order = gateways if turn % 2 == 0 else tuple(reversed(gateways))
        yield from ((number, name) for name in order)
    yield from ((number, BRIDGE) for number in alone if BRIDGE in gateways)


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version() + _whose_python(),
    }


def _whose_python() -> str:
    """Distributions build theirs with the help of profiles, so that it is a faster one."""
    return " of the distribution" if sys.base_prefix == "/usr" else ", not the distribution's"


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _names(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if unknown := set(names) - GATEWAYS.keys():
        raise argparse.ArgumentTypeError(f"no gateway is called {', '.join(sorted(unknown))}")
    return names


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="What a call costs, gateways side by side.")
    parser.add_argument("--calls", type=_numbers, help="like 10,50,100,200")
    parser.add_argument("--alone", type=_numbers, help="like 500,1000: calls of the bridge alone")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="each measured window")
    parser.add_argument("--rates", type=_numbers, help="calls a second to set up, like 100,200")
    parser.add_argument("--rates-alone", type=_numbers, help="like 300,400: of the bridge alone")
    parser.add_argument("--gateways", type=_names, default=tuple(GATEWAYS))
    parser.add_argument("--json", type=Path, help="write all figures there")
    parser.add_argument("--pictures", type=Path, help="draw them into this folder")
    parser.add_argument("--batches", action="store_true", help="far end uses UDP_SEGMENT/UDP_GRO")
    options = parser.parse_args()
    if options.calls is None and options.rates is None:
        options.calls, options.alone = CALLS, options.alone or CALLS_ALONE
        options.rates, options.rates_alone = RATES, options.rates_alone or RATES_ALONE
    return options


@dataclass(slots=True)
class Results:
    """All that was measured, and what could not be."""

    points: list[Point] = field(default_factory=list)
    set_up: list[Mapping[str, Any]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def write(self, path: Path, *, batches: bool) -> None:
        """Write the figures as JSON."""
        results = {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": machine(),
            "versions": {point.gateway: point.version for point in self.points},
            "batches": batches,
            "points": [asdict(point) for point in self.points],
            "set_up": self.set_up,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(results, indent=1) + "\n")


def _measure_all(options: argparse.Namespace) -> Results:
    """Measures what was asked for; a gateway that fails at one point does not end the others."""
    tools, site, results = build_tools(), Site.free(), Results()
    for what, found, measure_one in _measurements(options, tools, site, results):
        print(f"measuring {what} ...", file=sys.stderr, flush=True)
        try:
            found.append(measure_one())
        except LabError as error:
            results.errors.append(f"{what}: {error}")
        if options.json is not None:
            results.write(options.json, batches=options.batches)
    return results


def _measurements(
    options: argparse.Namespace, tools: Tools, site: Site, results: Results
) -> Iterator[tuple[str, list[Any], Callable[[], Any]]]:
    """Yields what is to be measured, in words, where its figures belong, and what measures it."""
    flags = ["--batches"] * options.batches
    for calls, name in plan(options.calls or (), options.gateways, options.alone or ()):
        load = LoadPlan(calls, rate_per_s=SET_UP_RATE_PER_S, window_s=options.seconds)
        measure_calls = partial(measure, name, site, tools, load, flags)
        yield f"{name} with {calls} calls", results.points, measure_calls
    for rate, name in plan(options.rates or (), options.gateways, options.rates_alone or ()):
        measure_rate = partial(measure_set_up, name, tools, rate)
        yield f"{name} with {rate} calls a second", results.set_up, measure_rate


def main() -> None:
    """Measures, prints the table, and exits with 1 where the bridge missed what is expected."""
    options = _options()
    frame_cost.main()
    try:
        results = _measure_all(options)
    except LabError as error:
        raise SystemExit(f"bench: {error}") from error
    points = results.points
    if points:
        print(table(points), *growth_told(points), sep="\n")
    if results.set_up:
        print(set_up_table(results.set_up))
    if points and options.pictures is not None:
        draw(points, options.pictures)
    if any(point.strangers > STRANGERS_MAX for point in points):
        print("Other work kept this machine busy: these figures are worse than the gateways are.")
    found = list(verdicts(points))
    print(*found, *results.errors, sep="\n")
    raise SystemExit(0 if all(verdict.met for verdict in found) and not results.errors else 1)


if __name__ == "__main__":
    main()
