"""`make leaktest`: can a listener who learns tell how many digits were dialed?

python -m tests.leak.run [--calls 200] [--control-calls 100] [--picture docs/images/leaktest.svg]

Records calls as shipped, and the two controls that show what the classifier can see; prints both
tables of each and draws the picture of docs/security.md. Broken off, it goes on where it stopped.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.lab import LabError
from tests.lab.asterisk_fetch import SUITES, AsteriskTree, fetch_asterisk
from tests.lab.bridge_process import ROOT
from tests.lab.results import record
from tests.leak.classify import Verdict, classify
from tests.leak.features import VIEWS
from tests.leak.picture import draw
from tests.leak.plan import SEED, parts_of, plan_calls
from tests.leak.recording import ENVELOPES, FOLDER, Pace, RecordedCall, record_calls

PICTURE: Final = ROOT / "docs" / "images" / "leaktest.svg"
PART_CALLS: Final = 250
"""Calls between two chances to break off: about a minute's."""
SEES: Final = {"off": 0.8, "random-terminator": 0.3}
"""What the classifier has to reach in a control at least, both directions seen."""

Verdicts = Mapping[str, Verdict]
"""By view."""


def main() -> int:
    """Returns 1 when numbers can be told apart, or when the classifier turns out to be blind."""
    options = _options()
    try:
        return _run(options)
    except LabError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _run(options: argparse.Namespace) -> int:
    tree = fetch_asterisk(SUITES["22"])
    print(f"Asterisk {tree.version}; recordings in {FOLDER}")
    sizes = {"shipped": options.calls}
    calls = {
        envelope: _record(tree, sizes.get(envelope, options.control_calls), envelope)
        for envelope in ENVELOPES
    }
    verdicts = {envelope: _judge(envelope, calls[envelope]) for envelope in calls}
    draw(calls, verdicts, options.picture)
    print(f"Picture: {options.picture}")
    leaks = [view for view in VIEWS if _leaks(verdicts["shipped"][view])]
    if leaks:
        print("Over the limit: one fresh recording decides.")
        fresh = _judge("fresh", _record(tree, options.calls, "shipped", SEED + 1))
        leaks = [view for view in leaks if _leaks(fresh[view])]
    blind = [name for name, least in SEES.items() if verdicts[name][VIEWS[0]].accuracy < least]
    print(_conclusion(leaks, blind))
    return 1 if leaks or blind else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Try to tell dialed numbers apart on the link.")
    parser.add_argument("--calls", type=int, default=200, help="a class, as shipped")
    parser.add_argument("--control-calls", type=int, default=100, help="a class, each control")
    parser.add_argument("--picture", type=Path, default=PICTURE)
    return parser.parse_args()


def _record(
    tree: AsteriskTree, calls_a_class: int, envelope: str, seed: int = SEED
) -> list[RecordedCall]:
    calls: list[RecordedCall] = []
    plan = plan_calls(calls_a_class, seed)
    for part in parts_of(plan, PART_CALLS):
        calls += record_calls(tree, part, envelope, Pace())
        print(f"  {envelope}: {len(calls)} of {len(plan)} calls recorded", flush=True)
    return calls


def _judge(envelope: str, calls: Sequence[RecordedCall]) -> Verdicts:
    verdicts = {view: classify(calls, view) for view in VIEWS}
    for view, verdict in verdicts.items():
        print(f"\nEnvelope {envelope}, {view}: {verdict.right} of {verdict.tried} right,")
        print(f"{verdict.accuracy:.1%}; guessing stays below {verdict.limit:.1%}\n")
        print(verdict.table(), flush=True)
        record("told apart", _figures(envelope, view, verdict))
    return verdicts


def _figures(envelope: str, view: str, verdict: Verdict) -> dict[str, object]:
    return {
        "envelope": envelope,
        "seen": view,
        "calls_tried": verdict.tried,
        "told_right": f"{verdict.accuracy:.1%}",
        "guessing": "20.0%",
        "limit": f"{verdict.limit:.1%}",
        "as_good_by_chance": f"{verdict.chance_of_it:.2g}",
    }


def _leaks(verdict: Verdict) -> bool:
    return verdict.accuracy > verdict.limit


def _conclusion(leaks: Sequence[str], blind: Sequence[str]) -> str:
    said = [f"LEAK: numbers can be told apart, {view}" for view in leaks]
    said += [f"BLIND: the classifier does not see the control {name!r}" for name in blind]
    return "\n".join(said) or "Numbers cannot be told apart, and the classifier sees the controls."


if __name__ == "__main__":
    sys.exit(main())
