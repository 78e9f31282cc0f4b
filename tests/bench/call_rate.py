"""Calls set up and torn down at a rate: failures, leaks, and CPU time a call.

    python -m tests.bench.call_rate --rate 100 --seconds 30

No audio comes from the phones; the gateway does the whole signalling on both sides.
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from tests.bench.far_end_process import FarEndProcess
from tests.bench.gateways import GATEWAYS, BridgeGateway, Gateway, Site
from tests.bench.load import LoadPlan, failures, run_load
from tests.bench.quiet import Slice, Slicer, within
from tests.bench.tools import Tools, build_tools
from tests.bench.usage import OpenFiles, cpu_s, open_files, process_tree, pss_octets
from tests.lab import LabError

HOLD_S: Final = 0.2
SHORT_DIALING: Final = {"dialing": {"slots": 10, "slot_ms": 20, "start_ms": [0, 0]}}
"""The smallest envelope that the load's numbers fit: it is set-up and tear-down that count here.

With the default one each call lasts two seconds more, and its audio decides what is measured.
"""
_WARM_UP: Final = LoadPlan(calls=5, rate_per_s=10, hold_s=0.2, media=False)
_UNTIL_CALLS_END_S: Final = 1.0
"""From then on as many calls end as come."""
_FILES_CLOSE_WITHIN_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class CallRate:
    """What became of the calls.

    Attributes:
        gateway: Its name.
        calls: How many the phones placed; each is to be answered and hung up by its phone.
        rate_per_s: How fast.
        failures: Calls that ended otherwise, by what happened.
        complete_numbers: Calls whose digits, all of them, reached the far end; warm-up not counted.
        left: What the gateway counted when it had stopped; all zero unless it leaks.
        far_end_left: Calls that the far end still believed in.
        files_before, files_after: Open descriptors of the gateway without a call.
        cpu_ms_per_call: User and system time of the gateway, everything included.
        memory_growth: Octets of PSS, from the warm-up to the end.
        slices: Of the time in which calls come at that rate, and others end.
        load: All that the load generator reports.
    """

    gateway: str
    calls: int
    rate_per_s: float
    failures: dict[str, int]
    complete_numbers: int
    left: dict[str, int]
    far_end_left: int
    files_before: OpenFiles
    files_after: OpenFiles
    cpu_ms_per_call: float
    memory_growth: int
    slices: list[Slice] = field(repr=False)
    load: dict[str, Any] = field(repr=False)

    def faults(self) -> list[str]:
        """Everything that is not as it should be, in words; empty for a proof that holds."""
        found = [f"{count} calls: {what}" for what, count in self.failures.items()]
        if self.complete_numbers != self.calls:
            found.append(f"{self.complete_numbers} of {self.calls} numbers reached the far end")
        found += [f"{name}: {count}" for name, count in self.left.items() if count]
        if self.far_end_left:
            found.append(f"calls left at the far end: {self.far_end_left}")
        if self.files_after.all > self.files_before.all:
            found.append(f"descriptors: {self.files_before} before, {self.files_after} after")
        return found


def measure_call_rate(
    name: str, tools: Tools, rate_per_s: float, seconds: float, *, hold_s: float = HOLD_S
) -> CallRate:
    """Sets calls up and tears them down through a gateway that is started for this.

    Raises:
        LabError: A program did not start, or ended early.
    """
    site = Site.free()
    plan = LoadPlan(int(rate_per_s * seconds), rate_per_s, hold_s=hold_s, media=False)
    with FarEndProcess(tools, site, ["--sink"]) as far_end, _gateway(name, site) as gateway:
        run_load(tools, site.phone, gateway.sip_address, _WARM_UP)
        before = _State.of(gateway)
        begin_s = time.monotonic()
        with Slicer(gateway.pid) as slicer:
            load = run_load(tools, site.phone, gateway.sip_address, plan)
        after = _await_closed(gateway, before)
        left = gateway.finish()
        far = far_end.finish()
    return CallRate(
        gateway=name,
        calls=plan.calls,
        rate_per_s=rate_per_s,
        failures=failures(load),
        complete_numbers=far["complete_numbers"] - _WARM_UP.calls,
        left=dict(left),
        far_end_left=far["live_calls"],
        files_before=before.files,
        files_after=after.files,
        cpu_ms_per_call=1000 * (after.cpu_s - before.cpu_s) / plan.calls,
        memory_growth=after.memory - before.memory,
        slices=within(slicer.slices, begin_s + _UNTIL_CALLS_END_S, begin_s + seconds),
        load=dict(load),
    )


def _gateway(name: str, site: Site) -> Gateway:
    return BridgeGateway(site, SHORT_DIALING) if name == "bridge" else GATEWAYS[name](site)


@dataclass(frozen=True, slots=True)
class _State:
    files: OpenFiles
    cpu_s: float
    memory: int

    @classmethod
    def of(cls, gateway: Gateway) -> "_State":
        pids = process_tree(gateway.pid)
        return cls(open_files(pids), cpu_s(pids), pss_octets(pids))


def _await_closed(gateway: Gateway, before: _State) -> _State:
    """Waits, bounded, until the last calls' sockets are closed again."""
    deadline = time.monotonic() + _FILES_CLOSE_WITHIN_S
    while time.monotonic() < deadline:
        after = _State.of(gateway)
        if after.files.all <= before.files.all:
            return after
        time.sleep(0.2)
    return _State.of(gateway)


def summary(result: CallRate) -> Mapping[str, Any]:
    """The figures of a result that a reader wants, flat."""
    quantiles = {
        f"{name}_p99_ms": (result.load[f"{name}_ms"] or {}).get("p99")
        for name in ("trying", "answer", "bye")
    }
    return {
        "calls": result.calls,
        "rate_per_s": result.rate_per_s,
        "failed": sum(result.failures.values()),
        "cpu_ms_per_call": round(result.cpu_ms_per_call, 2),
        "memory_growth_octets": result.memory_growth,
        **quantiles,
    }


def main() -> None:
    """Prints the result as JSON; exits with 1 where it has faults."""
    parser = argparse.ArgumentParser(description="Calls set up and torn down at a rate.")
    parser.add_argument("--rate", type=float, default=100.0)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--gateway", choices=tuple(GATEWAYS), default="bridge")
    options = parser.parse_args()
    try:
        result = measure_call_rate(options.gateway, build_tools(), options.rate, options.seconds)
    except LabError as error:
        raise SystemExit(f"call rate: {error}") from error
    print(json.dumps(asdict(result), indent=1))
    print(summary(result), file=sys.stderr)
    for fault in result.faults():
        print(fault, file=sys.stderr)
    raise SystemExit(1 if result.faults() else 0)


if __name__ == "__main__":
    main()
