"""One measurement: a gateway, a number of calls, a window of time, and what it cost."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

from tests.bench.far_end_process import FarEndProcess
from tests.bench.gateways import GATEWAYS, Gateway, Site
from tests.bench.load import LoadPlan, failures, run_load
from tests.bench.quiet import Slice, Slicer, within
from tests.bench.tools import Tools
from tests.bench.usage import Usage, process_tree, pss_octets, udp_drops, yardstick_ms

WARM_UP: Final = LoadPlan(calls=2, rate_per_s=10, hold_s=1.0)
_IDLE_S: Final = 2.0
LAST_HANGUP_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Point:
    """What was measured; delays in milliseconds, memory in octets.

    `crowding` is the share of the window in which some task on the machine waited for a core: at 1
    the load, the far end or a stranger held the gateway up, and delay and loss say little.
    `strangers` is the same before the load came, so it tells of other work on the machine, which
    makes CPU time dearer too: caches and cores are shared. `yardstick_ms` is the CPU time of a
    fixed piece of work before and behind it all: how fast this machine was just then. `slices` are
    the window's, and tell when the gateway had its core for itself.
    """

    gateway: str
    version: str
    calls: int
    established: int
    window_s: float
    cpu_ms_per_call_s: float
    idle_cpu_percent: float
    idle_memory: int
    memory_per_call: float
    crowding: float
    strangers: float
    yardstick_ms: float
    udp_drops: int
    failures: dict[str, int]
    slices: list[Slice] = field(repr=False)
    load: dict[str, Any] = field(repr=False)
    far_end: dict[str, Any] = field(repr=False)

    @property
    def loss(self) -> float:
        """Share of the frames that phones sent and never got back."""
        media = self.load["media"]
        return media["lost"] / media["sent"] if media["sent"] else 1.0

    def delay_ms(self, direction: str, quantile: str) -> float | None:
        """One-way delay, of `phone_to_link` or `link_to_phone`, "p50" or "p99"."""
        delays = self.load["media"][f"{direction}_ms"]
        return None if delays is None else float(delays[quantile])


class _Window:
    """Reads the gateway's clocks when the load generator says that its window begins and ends."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._drops = 0
        self.begin: Usage | None = None
        self.end: Usage | None = None
        self.slices: list[Slice] = []
        self.memory = 0
        self.udp_drops = 0

    def watch(self, event: str) -> None:
        usage = Usage.now(self._pid)
        if event == "window_begin":
            self.begin, self._drops = usage, udp_drops()
        elif event == "window_end":
            self.end = usage
            self.udp_drops = udp_drops() - self._drops
            self.memory = pss_octets(process_tree(self._pid))


def measure(name: str, site: Site, tools: Tools, plan: LoadPlan, flags: Sequence[str]) -> Point:
    """Starts far end and gateway anew, loads them, and reads the gateway's cost in the window.

    A few calls go first, so that what a gateway loads or allocates once is not laid on the calls.

    Args:
        name: Of the gateway; it is started and stopped here.
        site: The addresses.
        tools: The compiled programs.
        plan: The load, with a window.
        flags: Options of the far end.
    """
    speed_before_ms = yardstick_ms()
    with FarEndProcess(tools, site, flags) as far_end, GATEWAYS[name](site) as gateway:
        run_load(tools, site.phone, gateway.sip_address, WARM_UP)
        idle = _Idle.of(gateway.pid)
        window = _Window(gateway.pid)
        with Slicer(gateway.pid) as slicer:
            load = run_load(tools, site.phone, gateway.sip_address, plan, window.watch)
        window.slices = slicer.slices
        time.sleep(LAST_HANGUP_S)
        far = far_end.finish()
    speed_ms = (speed_before_ms + yardstick_ms()) / 2
    return _point(gateway, plan, (window, speed_ms), idle, (load, far))


def _point(
    gateway: Gateway,
    plan: LoadPlan,
    measured: tuple[_Window, float],
    idle: "_Idle",
    results: tuple[Mapping[str, Any], Mapping[str, Any]],
) -> Point:
    load, far_end = results
    window, speed_ms = measured
    established = load["established"]
    seconds = cpu = crowding = float("nan")
    slices: list[Slice] = []
    if window.begin is not None and window.end is not None:
        slices = within(window.slices, window.begin.at_s, window.end.at_s)
        seconds = window.end.at_s - window.begin.at_s
        cpu = window.end.cpu_s - window.begin.cpu_s
        crowding = (window.end.waited_s - window.begin.waited_s) / seconds
    return Point(
        gateway=gateway.name,
        version=gateway.version,
        calls=plan.calls,
        established=established,
        window_s=seconds,
        cpu_ms_per_call_s=1000 * cpu / seconds / established if established else float("nan"),
        idle_cpu_percent=idle.cpu_percent,
        idle_memory=idle.memory,
        memory_per_call=(window.memory - idle.memory) / max(established, 1),
        crowding=crowding,
        strangers=idle.crowding,
        yardstick_ms=speed_ms,
        udp_drops=window.udp_drops,
        failures=failures(load) | _given_up(far_end),
        slices=slices,
        load=dict(load),
        far_end=dict(far_end),
    )


def _given_up(far_end: Mapping[str, Any]) -> dict[str, int]:
    """Calls whose phone noticed nothing, but which the far end ended: the gateway fell silent."""
    calls = far_end.get("ended_NO_RESPONSE", 0)
    return {"given up by the far end": calls} if calls else {}


@dataclass(frozen=True, slots=True)
class _Idle:
    """A gateway without a call, looked at for a moment."""

    cpu_percent: float
    memory: int
    crowding: float

    @classmethod
    def of(cls, pid: int) -> Self:
        begin = Usage.now(pid)
        time.sleep(_IDLE_S)
        end = Usage.now(pid)
        seconds = end.at_s - begin.at_s
        return cls(
            cpu_percent=100 * (end.cpu_s - begin.cpu_s) / seconds,
            memory=pss_octets(process_tree(pid)),
            crowding=(end.waited_s - begin.waited_s) / seconds,
        )
