"""The course of an overload, and what is made of what was seen."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.bench.overload import Course, seconds_of
from tests.bench.overload_result import Overload, Second, Spans, table

COURSE = Course(calls=1600, held_s=5.0)
PEACE = Second(
    placed=10,
    answered=10,
    refused=0,
    failed=0,
    established=100,
    sent=5000,
    returned=5000,
    round_trip_ms={"p99": 30.0},
    full=200,
    again=0,
)
TAKEN = [PEACE] * 3
LOAD: dict[str, Any] = {
    "started": 60,
    "established": 40,
    "status": {"200": 40, "503": 20},
    "endings": {"normal": 40, "refused": 20},
    "retry_after": 20,
    "refusal_ms": {"p99": 25.0},
}
SOUND = Overload(
    gateway="bridge",
    version="siax 1",
    yardstick_ms=1.5,
    spans=Spans(TAKEN, TAKEN, TAKEN, TAKEN, TAKEN),
    load=LOAD,
    left={"calls_left": 0},
)


def with_span(name: str, span: Sequence[Second]) -> Overload:
    return replace(SOUND, spans=replace(SOUND.spans, **{name: span}))


def test_calls_are_offered_at_a_steady_rate_and_an_eighth_of_them_once_more() -> None:
    calls = list(COURSE.calls_of())
    begins = [begin_s for begin_s, _ in calls]
    assert begins == sorted(begins)
    assert begins[:1600] == [index / 100 for index in range(1600)]
    assert len(calls) == 1800
    assert begins[1600] == COURSE.newcomers_at_s == 32.0


def test_half_of_the_calls_end_before_others_come_and_all_at_the_end() -> None:
    ends = [end_s for _, end_s in COURSE.calls_of()]
    early = [end_s for end_s in ends if end_s < COURSE.newcomers_at_s]
    assert len(early) == 800
    assert min(early) >= COURSE.leaving_at_s == 21.0
    assert max(early) <= COURSE.leaving_at_s + COURSE.leave_s
    assert min(end_s for end_s in ends if end_s > max(early)) >= COURSE.ends_at_s
    assert max(ends) <= COURSE.ends_at_s + COURSE.leave_s


def test_those_that_end_are_of_every_age() -> None:
    """Of calls that came first, as many end in any second as of those that came last."""
    first = [end_s for _, end_s in list(COURSE.calls_of())[:200] if end_s < COURSE.newcomers_at_s]
    for second in range(5):
        assert (
            18 <= sum(second <= end_s - COURSE.leaving_at_s < second + 1 for end_s in first) <= 22
        )


def test_the_load_generator_reads_a_line_for_each_call(tmp_path: Path) -> None:
    plan = COURSE.write(tmp_path / "schedule")
    lines = (tmp_path / "schedule").read_text().splitlines()
    assert plan.calls == len(lines) == 1800
    assert lines[1].split()[0] == "0.0100"
    assert plan.arguments()[4:] == ["--schedule", str(tmp_path / "schedule")]


def test_spans_are_whole_seconds_of_the_course() -> None:
    seconds = [replace(PEACE, placed=second) for second in range(50)]
    spans = COURSE.spans(seconds)
    assert [each.placed for each in spans.before] == [2, 3]
    assert [each.placed for each in spans.overload] == list(range(8, 16))
    assert [each.placed for each in spans.held] == [17, 18, 19, 20]
    assert spans.newcomers[0].placed == 32
    assert spans.end[-1].placed < COURSE.ends_at_s


def test_phones_and_far_end_are_joined_by_the_second() -> None:
    told = {name: getattr(PEACE, name) for name in PEACE.__slots__ if name not in {"full", "again"}}
    load = {"first_second": 100, "seconds": [told, told, told]}
    joined = seconds_of(load, {"first_second": 101, "seconds": [[7, 2]]})
    assert [(each.full, each.again) for each in joined] == [(0, 0), (7, 2), (0, 0)]


def test_a_sound_one_has_no_faults() -> None:
    assert SOUND.faults() == []
    assert SOUND.figures()["newcomers_accepted_percent"] == 100


@pytest.mark.parametrize(
    "unsound",
    [
        replace(SOUND, load=LOAD | {"retry_after": 19}),
        replace(SOUND, load=LOAD | {"endings": {"normal": 39, "early_bye": 1, "refused": 20}}),
        replace(SOUND, load=LOAD | {"refusal_ms": {"p99": 501.0}}),
        replace(SOUND, left={"calls_left": 1}),
        with_span("held", [replace(PEACE, returned=4900)]),
        with_span("overload", [replace(PEACE, again=100)]),
        with_span("newcomers", [replace(PEACE, answered=8)]),
        with_span("end", [replace(PEACE, returned=4990)]),
    ],
)
def test_each_fault_is_told(unsound: Overload) -> None:
    assert len(unsound.faults()) == 1


def test_figures_stand_beside_each_other() -> None:
    lines = table([SOUND.figures(), replace(SOUND, gateway="asterisk").figures()]).splitlines()
    assert lines[0] == "|  | bridge (siax 1) | asterisk (siax 1) |"
    assert "| refused by 503 | 20 | 20 |" in lines
    assert "| loss held percent | 0.0 | 0.0 |" in lines
