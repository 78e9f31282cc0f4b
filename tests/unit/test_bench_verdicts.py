"""What the bench expects of the bridge: met, missed, and of the bridge alone."""

import math
from dataclasses import replace
from typing import Any

import pytest

from tests.bench.measuring import Point
from tests.bench.quiet import Slice
from tests.bench.verdicts import verdicts
from tests.unit.test_bench_table import (
    ASTERISK_50,
    BRIDGE_50,
    DELAYS,
    FASTEST_MS,
    MEDIA,
    SET_UP_ASTERISK,
    SET_UP_BRIDGE,
)

GOOD = replace(BRIDGE_50, cpu_ms_per_call_s=1.5)
BOTH_DELAYS = MEDIA | {"link_to_phone_ms": DELAYS}
GOOD_200 = replace(GOOD, calls=200, cpu_ms_per_call_s=0.8, load={"media": BOTH_DELAYS})
RATE_400 = SET_UP_BRIDGE | {"rate_per_s": 400.0, "cpu_ms_per_call": 1.9}


def _missed(points: list[Point], rates: list[dict[str, Any]]) -> list[str]:
    found = verdicts(points, rates, FASTEST_MS)
    return [str(verdict) for verdict in found if not verdict.met]


def test_expectations_are_of_the_bridge_alone_and_met() -> None:
    rates = [SET_UP_BRIDGE, SET_UP_ASTERISK, RATE_400]
    found = list(verdicts([GOOD, ASTERISK_50, GOOD_200], rates, FASTEST_MS))
    calls_50 = [0, 1e-4, 1.6, 180.0]
    calls_200 = [0, 1e-4, 0.9, 180.0, 0.5, 3.0, 8.0, 25.0]
    assert [verdict.limit for verdict in found] == [
        *calls_50,
        *calls_200,
        90.0,
        *(0, 0, 2.0, 20.0),
    ]
    assert all(verdict.met for verdict in found)


@pytest.mark.parametrize(
    "missed",
    [
        replace(GOOD, cpu_ms_per_call_s=1.61),
        replace(GOOD, cpu_ms_per_call_s=math.nan),
        replace(GOOD, memory_per_call=181_000.0),
        replace(GOOD, idle_memory=91_000_000),
        replace(GOOD, failures={"refused": 1}),
        replace(GOOD, load={"media": {**MEDIA, "lost": 11}}),
        replace(
            GOOD_200, load={"media": {**BOTH_DELAYS, "phone_to_link_ms": DELAYS | {"p99": 26}}}
        ),
        replace(
            GOOD_200, load={"media": {**BOTH_DELAYS, "link_to_phone_ms": DELAYS | {"p50": 0.6}}}
        ),
    ],
)
def test_each_expectation_of_calls_can_be_missed(missed: Point) -> None:
    (told,) = _missed([missed], [])
    assert told.startswith("MISSED")


@pytest.mark.parametrize(
    "missed", [{"failed": 1}, {"cpu_ms_per_call": 2.1}, {"trying_p99_ms": None}]
)
def test_each_expectation_of_a_rate_can_be_missed(missed: dict[str, Any]) -> None:
    assert len(_missed([], [RATE_400 | missed])) == 1


def test_cpu_time_is_judged_in_quiet_moments() -> None:
    quiet = [Slice(0.0, 1.0, 0.05, FASTEST_MS), Slice(1.0, 1.0, 0.2, 2 * FASTEST_MS)]
    assert _missed([replace(GOOD, cpu_ms_per_call_s=9.0, slices=quiet)], []) == []
