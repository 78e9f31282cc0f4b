"""Writes docs/performance.md from the figures of a run: prose from a template, numbers from JSON.

python -m tests.bench.report docs/performance.json docs/performance.md

What tests.bench.overload wrote stands beside the first: docs/performance-overload.json.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any, Final

from tests.bench.measuring import Point
from tests.bench.overload_result import table as overload_table
from tests.bench.results import Results
from tests.bench.set_up import markdown as set_up_table
from tests.bench.table import BRIDGE, growth_told, markdown
from tests.bench.verdicts import verdicts

TEMPLATE: Final = Path(__file__).resolve().parent / "performance.md.template"


def render(results: Mapping[str, Any], overload: Mapping[str, Any] | None = None) -> str:
    """The document for what tests.bench.run and tests.bench.overload wrote with --json."""
    measured = Results.read(results)
    points, fastest = measured.points, measured.fastest_ms
    judged = verdicts(points, measured.set_up, fastest)
    machine = results["machine"]
    return Template(TEMPLATE.read_text()).substitute(
        date=results["date"].partition("T")[0],
        machine=f"{machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}",
        python=machine["python"],
        versions=", ".join(f"{name} {version}" for name, version in results["versions"].items()),
        window_s=f"{points[0].window_s:.0f}" if points else "0",
        points=markdown(points, fastest),
        growth="\n".join(f"- {line}" for line in growth_told(points)),
        set_up=set_up_table(measured.set_up, fastest) if measured.set_up else "Not measured.",
        idle=_idle(points),
        overload=overload_table(overload["gateways"]) if overload else "Not measured.",
        verdicts="\n".join(f"- {verdict}" for verdict in judged),
    )


def _idle(points: list[Point]) -> str:
    """Idle CPU and memory, each gateway's lowest: whatever else ran can only add to it."""
    lines = []
    for name in sorted({point.gateway for point in points}, key=lambda name: name != BRIDGE):
        own = [point for point in points if point.gateway == name]
        percent = min(point.idle_cpu_percent for point in own)
        memory = min(point.idle_memory for point in own) / 1e6
        lines.append(f"| {name} | {percent:.1f} | {memory:.0f} |")
    return "\n".join(["| gateway | CPU % | memory MB |", "| --- | ---: | ---: |", *lines])


def main() -> None:
    """Reads the first argument, writes the second."""
    source, target = map(Path, sys.argv[1:3])
    beside = source.with_stem(f"{source.stem}-overload")
    overload = json.loads(beside.read_text()) if beside.exists() else None
    target.write_text(render(json.loads(source.read_text()), overload))


if __name__ == "__main__":
    main()
