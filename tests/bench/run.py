"""`make bench`: what a frame costs the engine, and a call each gateway, side by side in one run.

python -m tests.bench.run --calls 10,50,100,200 --seconds 20 --json docs/performance.json
"""

import argparse
import json
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a script knows its own folder alone

from tests.bench import frame_cost  # after the path is known
from tests.bench.gateways import GATEWAYS, Site
from tests.bench.load import LoadPlan
from tests.bench.measuring import Point, measure
from tests.bench.picture import draw
from tests.bench.table import BRIDGE, growth_told, table, verdicts
from tests.bench.tools import build_tools
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
        "python": platform.python_version(),
    }


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
    parser.add_argument("--gateways", type=_names, default=tuple(GATEWAYS))
    parser.add_argument("--json", type=Path, help="write all figures there")
    parser.add_argument("--pictures", type=Path, help="draw them into this folder")
    parser.add_argument("--batches", action="store_true", help="far end uses UDP_SEGMENT/UDP_GRO")
    options = parser.parse_args()
    if options.calls is None:
        options.calls, options.alone = CALLS, options.alone or CALLS_ALONE
    return options


def _measure_all(options: argparse.Namespace) -> tuple[list[Point], list[str]]:
    """Measures what was asked for; a gateway that fails at one point does not end the others."""
    tools, site = build_tools(), Site.free()
    flags = ["--batches"] * options.batches
    points: list[Point] = []
    errors: list[str] = []
    for calls, name in plan(options.calls, options.gateways, options.alone or ()):
        print(f"measuring {name} with {calls} calls ...", file=sys.stderr, flush=True)
        load = LoadPlan(calls, rate_per_s=SET_UP_RATE_PER_S, window_s=options.seconds)
        try:
            points.append(measure(name, site, tools, load, flags))
        except LabError as error:
            errors.append(f"{name} with {calls} calls: {error}")
        if options.json is not None:
            _write(options.json, points, options)
    return points, errors


def _write(path: Path, points: Sequence[Point], options: argparse.Namespace) -> None:
    results = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": {point.gateway: point.version for point in points},
        "batches": options.batches,
        "points": [asdict(point) for point in points],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n")


def main() -> None:
    """Measures, prints the table, and exits with 1 where the bridge missed what is expected."""
    options = _options()
    frame_cost.main()
    try:
        points, errors = _measure_all(options)
    except LabError as error:
        raise SystemExit(f"bench: {error}") from error
    print(table(points), *growth_told(points), sep="\n")
    if options.pictures is not None:
        draw(points, options.pictures)
    if any(point.strangers > STRANGERS_MAX for point in points):
        print("Other work kept this machine busy: these figures are worse than the gateways are.")
    found = list(verdicts(points))
    print(*found, *errors, sep="\n")
    raise SystemExit(0 if all(verdict.met for verdict in found) and not errors else 1)


if __name__ == "__main__":
    main()
