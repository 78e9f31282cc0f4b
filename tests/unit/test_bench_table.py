"""The bench's tables and verdicts, from made-up points."""

import math
from dataclasses import replace

import pytest

from tests.bench.measuring import Point
from tests.bench.report import render
from tests.bench.run import plan
from tests.bench.table import COLUMNS, markdown, rows, table, verdicts

DELAYS = {"count": 1000, "p50": 0.25, "p90": 1.0, "p99": 1.5, "max": 3.0}
MEDIA = {
    "sent": 100_000,
    "lost": 5,
    "phone_to_link_ms": DELAYS,
    "link_to_phone_ms": None,
}
BRIDGE_50 = Point(
    gateway="bridge",
    version="siax 1",
    calls=50,
    established=50,
    window_s=20.0,
    cpu_ms_per_call_s=2.0,
    idle_cpu_percent=0.2,
    idle_memory=80_000_000,
    memory_per_call=150_000.0,
    crowding=0.5,
    strangers=0.0,
    udp_drops=0,
    failures={},
    load={"media": MEDIA},
    far_end={},
)
ASTERISK_50 = replace(BRIDGE_50, gateway="asterisk", cpu_ms_per_call_s=10.4)


def test_bridge_comes_first_and_the_other_shows_its_ratio() -> None:
    bridge, asterisk = rows([ASTERISK_50, BRIDGE_50])
    assert bridge[:4] == ("50", "bridge", "2.00", "-")
    assert asterisk[:4] == ("50", "asterisk", "10.40", "5.2 x")


def test_a_row_tells_loss_delay_memory_and_crowding() -> None:
    (row,) = rows([BRIDGE_50])
    assert row[4:] == ("0.005", "0.25 / 1.50", "-", "150", "50")


def test_failed_calls_stand_beside_the_loss() -> None:
    (row,) = rows([replace(BRIDGE_50, failures={"refused": 3, "early_bye": 1})])
    assert row[4] == "0.005, 4 calls failed"


def test_a_gateway_without_a_window_has_neither_loss_nor_ratio() -> None:
    broken = replace(
        ASTERISK_50,
        cpu_ms_per_call_s=math.nan,
        load={"media": {**MEDIA, "sent": 0, "lost": 0}},
    )
    assert broken.loss == 1.0
    assert next(rows([broken]))[4] == "-"


def test_tables_have_a_line_for_each_point_below_their_heads() -> None:
    points = [BRIDGE_50, ASTERISK_50]
    assert len(table(points).splitlines()) == 3
    assert len(markdown(points).splitlines()) == 4
    assert all(line.count("|") == len(COLUMNS) + 1 for line in markdown(points).splitlines())


def test_expectations_are_of_the_bridge_alone_and_met() -> None:
    found = list(verdicts([BRIDGE_50, ASTERISK_50]))
    assert [verdict.limit for verdict in found] == [0, 3.0, 1e-4, 250.0]
    assert all(verdict.met for verdict in found)


@pytest.mark.parametrize(
    "missed",
    [
        replace(BRIDGE_50, cpu_ms_per_call_s=3.1),
        replace(BRIDGE_50, cpu_ms_per_call_s=math.nan),
        replace(BRIDGE_50, memory_per_call=251_000.0),
        replace(BRIDGE_50, failures={"refused": 1}),
        replace(BRIDGE_50, load={"media": {**MEDIA, "lost": 11}}),
    ],
)
def test_each_expectation_can_be_missed(missed: Point) -> None:
    found = [verdict for verdict in verdicts([missed]) if not verdict.met]
    assert len(found) == 1
    assert str(found[0]).startswith("MISSED")


def test_gateways_are_interleaved_and_take_turns_in_going_first() -> None:
    assert list(plan([10, 50], ("bridge", "asterisk"))) == [
        (10, "bridge"),
        (10, "asterisk"),
        (50, "asterisk"),
        (50, "bridge"),
    ]


def test_the_document_holds_every_point() -> None:
    results = {
        "date": "2026-01-02T03:04:05+00:00",
        "machine": {"cpu": "some", "cores": 2, "kernel": "6.1", "python": "3.11"},
        "versions": {"bridge": "siax 1", "asterisk": "22"},
        "points": [_as_json(BRIDGE_50), _as_json(ASTERISK_50)],
    }
    text = render(results)
    assert "Measured on 2026-01-02: some, 2 cores, Linux 6.1" in text
    assert "| 50 | asterisk | 10.40 | 5.2 x |" in text
    assert "| bridge | 0.2 | 80 |" in text
    assert "$" not in text


def _as_json(point: Point) -> dict[str, object]:
    return {name: getattr(point, name) for name in Point.__dataclass_fields__}
