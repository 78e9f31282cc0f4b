"""The classifier on calls that are made up: it finds what is there, and nothing else."""

from collections import Counter
from collections.abc import Callable
from random import Random

import pytest

from tests.leak.calls import Seen
from tests.leak.classify import Verdict, classify
from tests.leak.features import VIEWS, features_of
from tests.leak.plan import CLASSES, PlannedCall, parts_of, plan_calls
from tests.leak.recording import RecordedCall

BOTH, OURS_ALONE = VIEWS
SLOTS = 26


def call(planned: PlannedCall, frames: int = SLOTS, reaction_ms: int = 0) -> RecordedCall:
    """A burst from a random start, and a far end that speaks when it has the number."""
    dice = Random(planned.index)
    start = dice.randint(200, 600)
    audio = [Seen(20 * n, ours=True, octets=194, full=False) for n in range(150)]
    burst = [Seen(start + 60 * n, ours=True, octets=36, full=True) for n in range(frames)]
    answer = start + 60 * SLOTS + reaction_ms
    peer = [Seen(answer + 20 * n, ours=False, octets=194, full=False) for n in range(50)]
    return RecordedCall(planned, tuple(sorted((*audio, *burst, *peer), key=lambda s: s.at_ms)))


def even(planned: PlannedCall) -> RecordedCall:
    return call(planned)


def counted(planned: PlannedCall) -> RecordedCall:
    return call(planned, frames=planned.digits + 1)


def answered_early(planned: PlannedCall) -> RecordedCall:
    return call(planned, reaction_ms=60 * (planned.digits + 1 - SLOTS))


def verdict(make: Callable[[PlannedCall], RecordedCall], view: str) -> Verdict:
    return classify([make(planned) for planned in plan_calls(20)], view, trees=60)


@pytest.mark.parametrize("view", VIEWS)
def test_nothing_to_see_is_not_seen(view: str) -> None:
    found = verdict(even, view)
    assert found.tried == 50
    assert found.accuracy <= found.limit


@pytest.mark.parametrize("view", VIEWS)
def test_burst_as_long_as_the_number_is_seen(view: str) -> None:
    assert verdict(counted, view).accuracy > 0.9


def test_reaction_of_the_far_end_is_seen_where_it_is_looked_at() -> None:
    assert verdict(answered_early, BOTH).accuracy > 0.8
    alone = verdict(answered_early, OURS_ALONE)
    assert alone.accuracy <= alone.limit


def test_verdict_counts_and_tells_its_limit() -> None:
    right = {(digits, digits): 20 for digits in CLASSES}
    wrong = {(digits, 3): 80 for digits in CLASSES[1:]} | {(3, 7): 80}
    found = Verdict({**right, **wrong})
    assert found.tried == 500
    assert found.accuracy == pytest.approx(0.2)
    assert found.limit == pytest.approx(0.255, abs=0.0005)
    assert found.chance_of_it == pytest.approx(0.52, abs=0.02)
    assert "24 digits" in found.table()


def test_plan_is_fixed_mixed_and_halved() -> None:
    plan = plan_calls(20)
    assert plan == plan_calls(20)
    assert plan != plan_calls(20, seed=1)
    assert Counter(planned.digits for planned in plan) == dict.fromkeys(CLASSES, 20)
    learned = Counter(planned.digits for planned in plan if planned.learned_from)
    assert learned == dict.fromkeys(CLASSES, 10)
    assert len({planned.digits for planned in plan[:20]}) == len(CLASSES)
    assert [len(part) for part in parts_of(plan, 30)] == [30, 30, 30, 10]
    assert plan[0].number not in repr(plan[0])


@pytest.mark.parametrize("view", VIEWS)
def test_every_call_has_as_many_features(view: str) -> None:
    planned = plan_calls(1)[0]
    sizes = {
        len(features_of(each, view)) for each in ((), call(planned).seen, call(planned, 2).seen)
    }
    assert len(sizes) == 1
