"""Runs the load generator (load.c) and reads what it reports, line by line."""

import json
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.tools import Tools
from tests.lab import LabError

NUMBER_PREFIX = "9555"
"""Calls are made to 9555 and four digits of the call's index: the far end receives 555xxxx."""

PHONE_PORT = 5060

Watcher = Callable[[str], None]
"""Is told each event's name at once: "window_begin", "window_end"."""


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """What to place on a gateway: `hold_s` for each call, one window for all, or a schedule."""

    calls: int
    rate_per_s: float
    hold_s: float = 0.0
    window_s: float = 0.0
    settle_s: float = 4.0
    media: bool = True
    connected: bool = False
    numbers: Path | None = None
    """A file with what each call dials, a line each; None: the prefix and the call's index."""
    schedule: Path | None = None
    """A file with each call's begin and end in seconds, a line each, in order of their begins."""

    def arguments(self) -> list[str]:
        """The command line of load.c."""
        if self.schedule:
            timing = ["--schedule", str(self.schedule)]
        elif self.window_s:
            timing = ["--window", str(self.window_s), "--settle", str(self.settle_s)]
        else:
            timing = ["--hold", str(self.hold_s)]
        flags = ["--no-media"] * (not self.media) + ["--connected"] * self.connected
        numbers = ["--numbers", str(self.numbers)] if self.numbers else []
        size = ["--calls", str(self.calls), "--rate", str(self.rate_per_s)]
        return [*size, *timing, *flags, *numbers]


def _ignore(_event: str) -> None:
    pass


def run_load(
    tools: Tools, phone: str, gateway: str, plan: LoadPlan, watch: Watcher = _ignore
) -> Mapping[str, Any]:
    """Places a load on a gateway and returns load.c's result object.

    Args:
        tools: The compiled programs.
        phone: The host that the calls come from.
        gateway: Where they go, as "host:port".
        plan: How many, how fast, how long.
        watch: What to do at the window's begin and end.

    Raises:
        LabError: The load generator ended without a result.
    """
    command = [str(tools.load), "--gateway", gateway, "--local", f"{phone}:{PHONE_PORT}"]
    command += ["--prefix", NUMBER_PREFIX, *plan.arguments()]
    result: dict[str, Any] = {}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            for line in process.stdout or ():
                event = json.loads(line)
                if event["event"] == "result":
                    result = event
                else:
                    watch(event["event"])
        finally:
            process.terminate()  # it has ended already, unless we were interrupted
    if not result:
        raise LabError(f"the load generator failed with status {process.returncode}")
    del result["event"]
    return result


def failures(result: Mapping[str, Any]) -> dict[str, int]:
    """The calls that did not end as planned, by what happened to them."""
    return {name: n for name, n in result["endings"].items() if n and name != "normal"}
