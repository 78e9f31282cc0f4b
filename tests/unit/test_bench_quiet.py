"""Quiet slices of a window: which they are, and what a gateway took in them."""

import math
import os
import time

import pytest

from tests.bench.quiet import Cost, Slice, Slicer, fastest_ms, within

FASTEST_MS = 0.3


def _slice(at_s: float, cpu_s: float, probe_ms: float = FASTEST_MS) -> Slice:
    return Slice(at_s, 0.5, cpu_s, probe_ms)


def test_slices_belong_to_a_window_when_all_of_them_lies_in_it() -> None:
    slices = [_slice(at_s, 0.1) for at_s in (9.9, 10.0, 10.5, 11.1)]
    assert [part.at_s for part in within(slices, 10.0, 11.5)] == [10.0, 10.5]


def test_the_fastest_probe_is_that_of_all_windows() -> None:
    assert fastest_ms([[_slice(0, 0, 0.5)], [], [_slice(0, 0, 0.4), _slice(0, 0, 0.9)]]) == 0.4
    assert math.isnan(fastest_ms([[]]))


def test_slices_beside_a_stranger_do_not_count() -> None:
    quiet = [_slice(0, 0.05), _slice(1, 0.05, 1.14 * FASTEST_MS)]
    crowded = [_slice(2, 0.1, 1.16 * FASTEST_MS), _slice(3, 0.1, 2 * FASTEST_MS)]
    cost = Cost.of(1.5, [*quiet, *crowded], FASTEST_MS, calls=100)
    assert cost.quiet_ms == pytest.approx(1.0)
    assert cost.quiet_share == pytest.approx(0.5)
    assert cost.best_ms == cost.quiet_ms


@pytest.mark.parametrize(
    ("slices", "calls"), [([], 100), ([_slice(0, 1)], 100), ([_slice(0, 1)] * 2, 0)]
)
def test_too_little_of_quiet_time_tells_nothing(slices: list[Slice], calls: int) -> None:
    cost = Cost.of(1.5, slices, FASTEST_MS, calls)
    assert math.isnan(cost.quiet_ms)
    assert cost.best_ms == 1.5


def test_costs_are_compared_in_quiet_moments_where_both_have_them() -> None:
    bridge, other = Cost(2.0, 1.0, 0.5), Cost(10.0, 7.0, 0.5)
    assert other.against(bridge) == 7.0
    assert Cost(10.0, math.nan, 0.0).against(bridge) == 5.0


def test_slices_of_a_process_add_up_to_what_it_used() -> None:
    begin_s, began_s = time.monotonic(), time.process_time()
    with Slicer(os.getpid(), every_s=0) as slicer:
        while len(slicer.slices) < 2:
            sum(range(1000))
    used_s, took_s = time.process_time() - began_s, time.monotonic() - begin_s
    assert 0 < sum(part.cpu_s for part in slicer.slices) <= used_s
    assert 0 < sum(part.seconds for part in slicer.slices) <= took_s
    first, second = slicer.slices[:2]
    assert second.at_s == pytest.approx(first.at_s + first.seconds, abs=0.002)
    assert first.probe_ms > 0
