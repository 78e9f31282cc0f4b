"""Calls through bridge and link to a real Asterisk, and what was seen of each.

    load.c (phones) -> bridge -> link_recorder -> Asterisk with configs/asterisk

Of that configuration only the limits on calls at a time are lifted.

A recording is made part by part; what is done already is read from its file, as long as the
sources of the bridge are the same.
"""

import gzip
import json
import re
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import astuple, dataclass, field, replace
from datetime import datetime
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import trio

from tests.bench.gateways import BridgeGateway, Site
from tests.bench.load import LoadPlan, failures, run_load
from tests.bench.tools import build_tools
from tests.lab import LabError
from tests.lab.asterisk import AsteriskPeer
from tests.lab.asterisk_config import far_end
from tests.lab.asterisk_fetch import AsteriskTree
from tests.lab.bridge_process import ROOT
from tests.lab.nursery import open_lab_nursery
from tests.lab.scene import DIAL_PREFIX
from tests.lab.stalls import StallWatch
from tests.leak.calls import Seen, SeenCall, sort_calls
from tests.leak.plan import PlannedCall

FOLDER: Final = ROOT / "build" / "leaktest"
ENVELOPES: Final = {
    "shipped": ("bridge",),
    "off": ("tests.leak.switched_bridge", "off"),
    "random-terminator": ("tests.leak.switched_bridge", "random-terminator"),
}
"""What Python runs as the bridge for each envelope; the last two are the controls."""
_STOP_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Pace:
    """How calls are placed: so many a second, each held for so long after its answer."""

    rate_per_s: float = 4.0
    hold_s: float = 9.0
    """With the dialing before the answer, that makes more than the 10 s that are looked at."""


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """What was seen of a call, and what it was."""

    planned: PlannedCall
    seen: tuple[Seen, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A run of calls.

    Attributes:
        seen: Each call on the link, in the order of the plan.
        dialing_s: From the far end's answer to the number's delivery, for each call.
        wrong: Numbers that the far end did not read as they were dialed.
        failed: Calls that did not end as planned, by what happened.
        late_s: How long the machine kept bridge or far end waiting meanwhile.
    """

    seen: Sequence[SeenCall]
    dialing_s: Sequence[float]
    wrong: int
    failed: dict[str, int]
    late_s: float


def place_calls(
    tree: AsteriskTree,
    plan: Sequence[PlannedCall],
    pace: Pace,
    *,
    envelope: str = "shipped",
    loss: float = 0.0,
    media: bool = True,
) -> Outcome:
    """Places the calls and tells what became of them.

    Raises:
        LabError: A part of the scene did not work.
    """
    site = Site.free()
    with tempfile.TemporaryDirectory(prefix="siax-leak-") as folder, ExitStack() as stack:
        numbers, notes = Path(folder) / "numbers", Path(folder) / "notes"
        numbers.write_text("".join(f"{DIAL_PREFIX}{call.number}\n" for call in plan))
        peer = stack.enter_context(
            AsteriskPeer(tree, far_end(site.far_end, site.secret, for_load=True))
        )
        proxy = site.gateway.rpartition(".")[0] + ".14"
        stack.enter_context(_recorder(proxy, site.far_end, notes, loss))
        bridge = BridgeGateway(replace(site, far_end=proxy), module=ENVELOPES[envelope])
        stack.enter_context(bridge)
        load = LoadPlan(
            len(plan), pace.rate_per_s, hold_s=pace.hold_s, media=media, numbers=numbers
        )
        place = partial(run_load, build_tools(), site.phone, bridge.sip_address, load)
        result, late_s = trio.run(_watched, place, [bridge.pid, peer.pid])
        bridge.finish()
        read = Counter(call.digits for call in peer.received_calls())
        dialing_s = _dialing_s(bridge.log.read_text())
        stack.close()
        seen = sort_calls(notes.read_bytes())
    wrong = sum((Counter(call.number for call in plan) - read).values())
    return Outcome(seen, dialing_s, wrong, failures(result), late_s)


async def _watched(
    place: Callable[[], Mapping[str, Any]], pids: Sequence[int]
) -> tuple[Mapping[str, Any], float]:
    """Places calls; how long the machine kept any of some processes waiting comes with it."""
    async with open_lab_nursery() as nursery:
        stalls = StallWatch(pids)
        nursery.start_soon(stalls.run)
        result = await trio.to_thread.run_sync(place)
    return result, stalls.late_s


def record_calls(
    tree: AsteriskTree, plan: Sequence[PlannedCall], envelope: str, pace: Pace
) -> list[RecordedCall]:
    """The calls of a plan, from the file of an earlier run where there is one.

    Raises:
        LabError: A call failed, or the link showed more or fewer calls than were placed.
    """
    path = _file_of(tree, plan, envelope, pace)
    if not path.exists():
        outcome = place_calls(tree, plan, pace, envelope=envelope)
        if outcome.failed or outcome.wrong or len(outcome.seen) != len(plan):
            raise LabError(
                f"{outcome.failed} failed, {outcome.wrong} numbers wrong,"
                f" {len(outcome.seen)} of {len(plan)} calls on the link"
            )
        _write(path, outcome.seen)
    seen = json.loads(gzip.decompress(path.read_bytes()))
    return [
        RecordedCall(planned, tuple(Seen(*each) for each in datagrams))
        for planned, datagrams in zip(plan, seen, strict=True)
    ]


def _write(path: Path, calls: Sequence[SeenCall]) -> None:
    """Writes what was seen: no number stands in it, only the plan knows them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    seen = [[astuple(datagram) for datagram in call.datagrams] for call in calls]
    partial = path.with_suffix(".partial")
    partial.write_bytes(gzip.compress(json.dumps(seen, separators=(",", ":")).encode()))
    partial.rename(path)


def _file_of(tree: AsteriskTree, plan: Sequence[PlannedCall], envelope: str, pace: Pace) -> Path:
    what: Any = (tree.version, [call.number for call in plan], astuple(pace), _bridge_state())
    key = sha256(json.dumps(what).encode()).hexdigest()[:16]
    return FOLDER / f"{envelope}-{plan[0].index}-{key}.json.gz"


def _bridge_state() -> str:
    """A digest of all that decides how the bridge and its far end behave."""
    digest = sha256()
    for folder in ("bridge", "configs"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and path.suffix in {".py", ".yaml", ".conf"}:
                digest.update(path.read_bytes())
    return digest.hexdigest()


@contextmanager
def _recorder(listen: str, target: str, notes: Path, loss: float) -> Iterator[None]:
    """Runs link_recorder; leaving the block ends it, and its notes are written."""
    arguments = [listen, target, str(notes), str(loss)]
    command = [sys.executable, "-m", "tests.leak.link_recorder", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise LabError("the recorder of the link did not start")
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(_STOP_S)


def _dialing_s(log: str) -> list[float]:
    """How long each call's dialing took, as the bridge's log tells."""
    answered: dict[int, datetime] = {}
    took = []
    for line in log.splitlines():
        if re.search(r'"(link answered|number delivered)', line):
            entry = json.loads(line)
            at = datetime.fromisoformat(entry["timestamp"])
            if entry["event"] == "number delivered":
                took.append((at - answered[entry["call"]]).total_seconds())
            else:
                answered[entry["call"]] = at
    return took
