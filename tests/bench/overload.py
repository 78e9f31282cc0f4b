"""What a gateway does when twice the calls that it can carry are placed on it.

    python -m tests.bench.overload --gateway bridge --calls 2000 --seconds 5

Calls with audio come at a steady rate until all are offered, and those that were taken are held.
Then half of the calls end, others call, and all hang up. What phones and far end saw is told for
four spans of this course: before the overload, in it, while the calls are held, and at the end.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from tests.bench.far_end_process import FarEndProcess
from tests.bench.gateways import GATEWAYS, Site
from tests.bench.load import LoadPlan, run_load
from tests.bench.measuring import LAST_HANGUP_S, WARM_UP
from tests.bench.overload_result import Overload, Second, Spans, table
from tests.bench.results import machine
from tests.bench.tools import build_tools
from tests.bench.usage import yardstick_ms
from tests.lab import LabError
from tests.lab.results import record

OFFERED: Final = {"bridge": 2000, "asterisk": 300}
"""Twice what each carries on 2 cores that it shares with load and far end."""
JUDGED: Final = "bridge"
"""The others are there to compare with."""
SECONDS: Final = 5.0
_GOLDEN_RATIO: Final = 0.6180339887


@dataclass(frozen=True, slots=True)
class Course:
    """When calls begin and end, in seconds from the first.

    Attributes:
        calls: How many are offered; half of them are what the gateway is said to carry.
        held_s: How long nobody else calls then.
        offer_s: How long it takes to offer them.
        leave_s: How long half of the calls, and in the end all, take to hang up: a gateway cannot
            refuse that, so it is to come no faster than calls do.
        rest_s: How long it is left alone then.
    """

    calls: int
    held_s: float = SECONDS
    offer_s: float = 16.0
    leave_s: float = 5.0
    rest_s: float = 6.0

    @property
    def rate_per_s(self) -> float:
        """How many call in a second."""
        return self.calls / self.offer_s

    @property
    def newcomers(self) -> int:
        """How many call when half of the calls have ended: half of what those leave room for."""
        return self.calls // 8

    @property
    def leaving_at_s(self) -> float:
        """When half of the calls begin to end."""
        return self.offer_s + self.held_s

    @property
    def newcomers_at_s(self) -> float:
        """When others begin to call."""
        return self.leaving_at_s + self.leave_s + self.rest_s

    @property
    def ends_at_s(self) -> float:
        """When all begin to end."""
        return self.newcomers_at_s + self.newcomers / self.rate_per_s + self.held_s + self.rest_s

    def calls_of(self) -> Iterator[tuple[float, float]]:
        """Yields each call's begin and end; who ends when has nothing to do with who came when."""
        for index in range(self.calls):
            end_s = self.leaving_at_s if index % 2 else self.ends_at_s
            yield index / self.rate_per_s, end_s + self.leave_s * (index * _GOLDEN_RATIO % 1)
        for index in range(self.newcomers):
            begin_s = self.newcomers_at_s + index / self.rate_per_s
            yield begin_s, self.ends_at_s + self.leave_s * (index * _GOLDEN_RATIO % 1)

    def write(self, path: Path) -> LoadPlan:
        """Writes it as the load generator reads it."""
        lines = [f"{begin_s:.4f} {end_s:.4f}\n" for begin_s, end_s in self.calls_of()]
        path.write_text("".join(lines))
        return LoadPlan(len(lines), self.rate_per_s, schedule=path)

    def spans(self, seconds: Sequence[Second]) -> Spans:
        """The parts of the course, in whole seconds."""

        def between(begin_s: float, end_s: float) -> Sequence[Second]:
            return seconds[round(begin_s) : round(end_s)]

        return Spans(
            before=between(self.offer_s / 8, self.offer_s / 4),
            overload=between(self.offer_s / 2, self.offer_s),
            held=between(self.offer_s + 1, self.leaving_at_s),
            newcomers=between(self.newcomers_at_s, self.ends_at_s - 1),
            end=between(self.ends_at_s - self.held_s, self.ends_at_s - 1),
        )


def measure(name: str, course: Course) -> Overload:
    """Lets a gateway, started for this, go through the course.

    Raises:
        LabError: A program did not start, or ended early.
    """
    tools, site = build_tools(), Site.free()
    speed_before_ms = yardstick_ms()
    with (
        tempfile.TemporaryDirectory(prefix="siax-overload-") as folder,
        FarEndProcess(tools, site) as far_end,
        GATEWAYS[name](site) as gateway,
    ):
        run_load(tools, site.phone, gateway.sip_address, WARM_UP)
        plan = course.write(Path(folder) / "schedule")
        load = run_load(tools, site.phone, gateway.sip_address, plan)
        time.sleep(LAST_HANGUP_S)
        left = gateway.finish()
        far = far_end.finish()
    return Overload(
        gateway=name,
        version=gateway.version,
        yardstick_ms=(speed_before_ms + yardstick_ms()) / 2,
        spans=course.spans(seconds_of(load, far["echo"])),
        load=load,
        left=left,
    )


def seconds_of(load: Mapping[str, Any], echo: Mapping[str, Any]) -> list[Second]:
    """What phones and far end saw in each second; both count those of the clock of the wall."""
    first: int = load["first_second"]
    frames = dict(enumerate(echo["seconds"], start=echo["first_second"]))
    return [
        Second(**told, full=full, again=again)
        for at, told in enumerate(load["seconds"], start=first)
        for full, again in [frames.get(at, (0, 0))]
    ]


def _write(path: Path, found: Sequence[Overload]) -> None:
    results = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "gateways": [result.figures() for result in found],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Twice the calls that a gateway can carry.")
    parser.add_argument("--gateway", choices=tuple(GATEWAYS), help="by default all, in turn")
    parser.add_argument("--calls", type=int, help="how many to offer, in place of each one's own")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="how long calls are held")
    parser.add_argument("--json", type=Path, help="write all figures there")
    return parser.parse_args()


def main() -> None:
    """Prints and records the results; exits with 1 where the bridge is not as it should be."""
    options = _options()
    found = []
    for name in [options.gateway] if options.gateway else list(GATEWAYS):
        print(f"overloading {name} ...", file=sys.stderr, flush=True)
        course = Course(options.calls or OFFERED[name], options.seconds)
        try:
            found.append(measure(name, course))
        except LabError as error:
            raise SystemExit(f"overload: {error}") from error
        record("overload", found[-1].figures())
    if options.json is not None:
        _write(options.json, found)
    faults = [fault for result in found if result.gateway == JUDGED for fault in result.faults()]
    print(table([result.figures() for result in found]), *faults, sep="\n")
    raise SystemExit(1 if faults else 0)


if __name__ == "__main__":
    main()
