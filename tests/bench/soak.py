"""A soak: calls that talk for long, the bridge's memory all the while, and what is left of them.

python -m tests.bench.soak --calls 100 --minutes 30
"""

import argparse
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import mean
from typing import Any, Final

from tests.bench.far_end_process import FarEndProcess
from tests.bench.gateways import BridgeGateway, Site
from tests.bench.load import LoadPlan, failures, run_load
from tests.bench.measuring import LAST_HANGUP_S, WARM_UP
from tests.bench.tools import build_tools
from tests.bench.usage import OpenFiles, open_files, private_octets, process_tree
from tests.lab import LabError
from tests.lab.results import record

FLAT_AFTER_S: Final = 120.0
SPAN_S: Final = 60.0
"""Memory is compared by means over the first and the last such span."""
GROWTH_MAX: Final = 0.01
LOSS_MAX: Final = 0.001
"""Of 30 minutes on a machine that others may use, too; what make bench allows is a tenth."""
LOOK_S: Final = 2.0
SET_UP_RATE_PER_S: Final = 10.0
CLOSED_WITHIN_S: Final = 15.0


@dataclass(slots=True)
class MemoryWatch:
    """Reads a process's memory at intervals, in a thread of its own."""

    pid: int
    samples: list[tuple[float, int]] = field(default_factory=list)
    """Seconds since the begin, octets."""
    _over: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Reads until told to end."""
        began_at = time.monotonic()
        while not self._over.wait(LOOK_S):
            self.samples.append((time.monotonic() - began_at, private_octets(self.pid)))

    def end(self) -> None:
        """Lets `run` return."""
        self._over.set()


def growth(samples: list[tuple[float, int]], flat_after_s: float, span_s: float) -> float:
    """How much memory grew, as a share, from behind the first minutes to the end.

    Raises:
        LabError: It did not last long enough to tell.
    """
    last_s = samples[-1][0] if samples else 0.0
    first = [octets for at, octets in samples if flat_after_s <= at < flat_after_s + span_s]
    last = [octets for at, octets in samples if at >= last_s - span_s]
    if not first or not last or last_s < flat_after_s + 2 * span_s:
        raise LabError(f"{last_s:.0f} s tell nothing of memory: {flat_after_s + 2 * span_s} needed")
    return mean(last) / mean(first) - 1


@dataclass(frozen=True, slots=True)
class Soak:
    """What came of it."""

    calls: int
    seconds: float
    growth: float
    memory: int
    lost: int
    sent: int
    failures: Mapping[str, int]
    left: Mapping[str, int]
    files: tuple[OpenFiles, OpenFiles]

    def faults(self) -> list[str]:
        """Everything that is not as it should be, in words."""
        found = [f"{count} calls: {what}" for what, count in self.failures.items()]
        found += [f"{name}: {count}" for name, count in self.left.items() if count]
        if self.lost > LOSS_MAX * self.sent:
            found.append(f"{self.lost} of {self.sent} frames were lost")
        if self.growth > GROWTH_MAX:
            found.append(f"memory grew by {self.growth:.2%}")
        before, after = self.files
        if after.all > before.all:
            found.append(f"descriptors: {before} before, {after} after")
        return found


def soak(calls: int, seconds: float) -> Soak:
    """Lets calls talk through a bridge that is started for this.

    Raises:
        LabError: A program failed, or it was too short.
    """
    tools, site = build_tools(), Site.free()
    plan = LoadPlan(calls, SET_UP_RATE_PER_S, window_s=seconds)
    with FarEndProcess(tools, site) as far_end, BridgeGateway(site) as gateway:
        run_load(tools, site.phone, gateway.sip_address, WARM_UP)
        before = open_files(process_tree(gateway.pid))
        watch = MemoryWatch(gateway.pid)
        watcher = threading.Thread(target=watch.run)

        def on_event(event: str) -> None:
            if event == "window_begin":
                watcher.start()
            elif event == "window_end":
                watch.end()

        try:
            load = run_load(tools, site.phone, gateway.sip_address, plan, on_event)
        finally:
            watch.end()  # calls that all ended early leave the window open
        after = _closed_again(gateway.pid, before)
        if watcher.ident is not None:
            watcher.join()
        left = gateway.finish()
        far_end.finish()
    return _result(plan, watch, load, left, (before, after))


def _result(
    plan: LoadPlan,
    watch: MemoryWatch,
    load: Mapping[str, Any],
    left: Mapping[str, int],
    files: tuple[OpenFiles, OpenFiles],
) -> Soak:
    return Soak(
        calls=plan.calls,
        seconds=plan.window_s,
        growth=growth(watch.samples, FLAT_AFTER_S, SPAN_S),
        memory=watch.samples[-1][1],
        lost=load["media"]["lost"],
        sent=load["media"]["sent"],
        failures=failures(load),
        left=left,
        files=files,
    )


def _closed_again(pid: int, before: OpenFiles) -> OpenFiles:
    """Waits, bounded, until the calls' sockets are closed."""
    time.sleep(LAST_HANGUP_S)
    deadline = time.monotonic() + CLOSED_WITHIN_S
    while (after := open_files(process_tree(pid))).all > before.all:
        if time.monotonic() > deadline:
            break
        time.sleep(LOOK_S)
    return after


def main() -> None:
    """Prints and records the result; exits with 1 where it has faults."""
    parser = argparse.ArgumentParser(description="Calls that talk for long.")
    parser.add_argument("--calls", type=int, default=100)
    parser.add_argument("--minutes", type=float, default=30.0)
    options = parser.parse_args()
    try:
        result = soak(options.calls, 60 * options.minutes)
    except LabError as error:
        raise SystemExit(f"soak: {error}") from error
    figures = {
        "calls": result.calls,
        "minutes": result.seconds / 60,
        "memory_MB": round(result.memory / 1e6, 1),
        "growth_percent": round(100 * result.growth, 3),
        "frames_lost": f"{result.lost} of {result.sent}",
        "left": sum(result.left.values()),
        "descriptors_before_and_after": f"{result.files[0].all}, {result.files[1].all}",
    }
    record("soak", figures)
    print(figures, *result.faults(), sep="\n")
    raise SystemExit(1 if result.faults() else 0)


if __name__ == "__main__":
    main()
