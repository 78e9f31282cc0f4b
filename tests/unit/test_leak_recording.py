import gzip
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.lab import LabError
from tests.lab.asterisk_fetch import AsteriskTree
from tests.leak import recording
from tests.leak.calls import Seen, SeenCall
from tests.leak.plan import PlannedCall, plan_calls
from tests.leak.recording import Outcome, Pace, record_calls

ANSWERED, DELIVERED = "link answered, encrypted both ways", "number delivered"
PLAN = plan_calls(1)


def seen_calls(count: int) -> list[SeenCall]:
    return [SeenCall(0.0, [Seen(n, ours=True, octets=36, full=True)]) for n in range(count)]


@pytest.fixture
def outcomes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Outcome]:
    """What the next runs of calls come to; each is used once."""
    waiting: list[Outcome] = []

    def place(*_arguments: object, **_settings: object) -> Outcome:
        return waiting.pop()

    monkeypatch.setattr(recording, "place_calls", place)
    monkeypatch.setattr(recording, "FOLDER", tmp_path)
    return waiting


@pytest.fixture
def tree(tmp_path: Path) -> AsteriskTree:
    return AsteriskTree(tmp_path, "22.0")


def record(tree: AsteriskTree, plan: Sequence[PlannedCall] = PLAN) -> list[recording.RecordedCall]:
    return record_calls(tree, plan, "shipped", Pace())


def test_recording_is_made_once_and_holds_no_number(
    outcomes: list[Outcome], tree: AsteriskTree, tmp_path: Path
) -> None:
    outcomes.append(Outcome(seen_calls(len(PLAN)), [], 0, {}, 0.0))
    calls = record(tree)
    assert [call.seen[0].at_ms for call in calls] == list(range(len(PLAN)))
    assert record(tree) == calls
    (path,) = tmp_path.glob("*.json.gz")
    text = json.dumps(json.loads(gzip.decompress(path.read_bytes())))
    assert not any(planned.number in text for planned in PLAN)


@pytest.mark.parametrize(
    "bad",
    [
        Outcome(seen_calls(len(PLAN)), [], 1, {}, 0.0),
        Outcome(seen_calls(len(PLAN)), [], 0, {"refused": 1}, 0.0),
        Outcome(seen_calls(len(PLAN) + 1), [], 0, {}, 0.0),
    ],
    ids=["a wrong number", "a refused call", "a call too many"],
)
def test_what_went_wrong_is_not_kept(
    outcomes: list[Outcome], tree: AsteriskTree, tmp_path: Path, bad: Outcome
) -> None:
    outcomes.append(bad)
    with pytest.raises(LabError):
        record(tree)
    assert not list(tmp_path.iterdir())


def test_dialing_is_measured_from_the_log() -> None:
    entries = [(3, ANSWERED, 0.5), (4, ANSWERED, 1.0), (3, DELIVERED, 2.25), (4, DELIVERED, 2.5)]
    lines = [
        json.dumps({"call": call, "event": event, "timestamp": f"2026-11-26T09:00:{at_s:06.3f}Z"})
        for call, event, at_s in entries
    ]
    log = "\n".join(["no JSON: link answered", *lines, '{"call": 5, "event": "call over"}'])
    assert recording._dialing_s(log) == [1.75, 1.5]
