"""All that a run of the bench measured, written as JSON and read back."""

import json
import os
import platform
import re
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

from tests.bench.measuring import Point
from tests.bench.quiet import Slice, fastest_ms

_NUMBERS: Final = re.compile(r"\[[-+.,\de\s]+\]")
"""A list of nothing but numbers, as a slice is one."""


@dataclass(slots=True)
class Results:
    """All that was measured, and what could not be."""

    points: list[Point] = field(default_factory=list)
    set_up: list[Mapping[str, Any]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def fastest_ms(self) -> float:
        """What a probe takes on a core that nobody shares (quiet.py)."""
        slices = [point.slices for point in self.points] + [row["slices"] for row in self.set_up]
        return fastest_ms(slices)

    @classmethod
    def read(cls, results: Mapping[str, Any]) -> Self:
        """What `write` wrote, but the errors."""
        points = [Point(**(point | _slices(point))) for point in results["points"]]
        return cls(points, [row | _slices(row) for row in results["set_up"]])

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
        path.write_text(_NUMBERS.sub(_on_one_line, json.dumps(results, indent=1)) + "\n")


def _on_one_line(numbers: re.Match[str]) -> str:
    return " ".join(numbers[0].split())


def _slices(measured: Mapping[str, Any]) -> dict[str, list[Slice]]:
    return {"slices": [Slice(*part) for part in measured["slices"]]}


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
