"""Cyclic garbage: looked at by the number of calls, and what stands from the start never."""

import gc
from collections.abc import Iterator

import pytest

from bridge.net.garbage import CALLS_A_FULL_LOOK, CALLS_A_LOOK, CallGarbage


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The generations that were looked at."""
    generations: list[int] = []
    monkeypatch.setattr(gc, "collect", lambda generation=2: generations.append(generation))
    return generations


@pytest.fixture
def _collector_as_it_was() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


class TestCalls:
    def test_young_objects_are_looked_at_once_in_some_calls(self, looks: list[int]) -> None:
        garbage = CallGarbage()
        for _ in range(CALLS_A_LOOK - 1):
            garbage.call_begins()
        assert looks == []
        for _ in range(2 * CALLS_A_LOOK):
            garbage.call_begins()
        assert looks == [0, 0]

    def test_all_objects_are_looked_at_once_in_many(self, looks: list[int]) -> None:
        garbage = CallGarbage()
        for _ in range(2 * CALLS_A_FULL_LOOK):
            garbage.call_begins()
        assert looks.count(2) == 2
        assert looks[-1] == 2


@pytest.mark.usefixtures("_collector_as_it_was")
def test_what_stands_is_not_looked_at_again() -> None:
    CallGarbage().spare_what_stands()
    assert gc.get_freeze_count() > 0
    assert gc.get_threshold()[0] > 700
