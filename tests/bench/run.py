"""`make bench`: what a frame costs the engine, and a call each gateway, side by side in one run.

python -m tests.bench.run --calls 10,50,100,200 --seconds 20 --json docs/performance.json
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a script knows its own folder alone

from tests.bench import frame_cost  # after the path is known
from tests.bench.gateways import GATEWAYS, Site
from tests.bench.load import LoadPlan
from tests.bench.measuring import measure
from tests.bench.picture import draw
from tests.bench.results import Results
from tests.bench.set_up import RATES, RATES_ALONE, measure_set_up
from tests.bench.set_up import table as set_up_table
from tests.bench.table import BRIDGE, growth_told, table
from tests.bench.tools import Tools, build_tools
from tests.bench.verdicts import verdicts
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
    points, fastest = results.points, results.fastest_ms
    if points:
        print(table(points, fastest), *growth_told(points), sep="\n")
    if results.set_up:
        print(set_up_table(results.set_up, fastest))
    if points and options.pictures is not None:
        draw(points, options.pictures)
    if any(point.strangers > STRANGERS_MAX for point in points):
        print("Other work kept this machine busy: these figures are worse than the gateways are.")
    found = list(verdicts(points, results.set_up, fastest))
    print(*found, *results.errors, sep="\n")
    raise SystemExit(0 if all(verdict.met for verdict in found) and not results.errors else 1)


if __name__ == "__main__":
    main()
