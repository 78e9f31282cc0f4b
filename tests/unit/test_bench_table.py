"""The bench's tables and verdicts, from made-up points."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench.measuring import Point
from tests.bench.picture import CPU, DELAY, draw
from tests.bench.quiet import Slice
from tests.bench.report import render
from tests.bench.results import Results
from tests.bench.run import plan
from tests.bench.table import COLUMNS, growth, growth_told, markdown, rows, table

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
    yardstick_ms=2.0,
    udp_drops=0,
    failures={},
    slices=[],
    load={"media": MEDIA},
    far_end={},
)
SET_UP_BRIDGE = {
    "gateway": "bridge",
    "calls": 1000,
    "rate_per_s": 100.0,
    "failed": 0,
    "cpu_ms_per_call": 2.5,
    "trying_p99_ms": 7.0,
    "yardstick_ms": 2.0,
    "slices": [],
}
SET_UP_ASTERISK = SET_UP_BRIDGE | {
    "gateway": "asterisk",
    "cpu_ms_per_call": 5.0,
    "failed": 3,
    "trying_p99_ms": None,
}
FASTEST_MS = 0.3
ASTERISK_50 = replace(BRIDGE_50, gateway="asterisk", cpu_ms_per_call_s=10.4)


def test_bridge_comes_first_and_the_other_shows_its_ratio() -> None:
    bridge, asterisk = rows([ASTERISK_50, BRIDGE_50], FASTEST_MS)
    assert bridge[:5] == ("50", "bridge", "2.00", "-", "-")
    assert asterisk[:5] == ("50", "asterisk", "10.40", "-", "5.2 x")


def test_quiet_moments_are_told_with_their_share_and_compared() -> None:
    quiet = [Slice(0.0, 1.0, 0.05, FASTEST_MS), Slice(1.0, 1.0, 0.1, 2 * FASTEST_MS)]
    busy = [part._replace(cpu_s=8 * part.cpu_s) for part in quiet]
    points = [replace(BRIDGE_50, slices=quiet), replace(ASTERISK_50, slices=busy)]
    bridge, asterisk = rows(points, FASTEST_MS)
    assert bridge[2:5] == ("2.00", "1.00 (50 %)", "-")
    assert asterisk[2:5] == ("10.40", "8.00 (50 %)", "8.0 x")


def test_a_row_tells_loss_delay_memory_and_crowding() -> None:
    (row,) = rows([BRIDGE_50], FASTEST_MS)
    assert row[5:] == ("0.005", "0.25 / 1.50", "-", "150", "50", "2.00")


def test_failed_calls_stand_beside_the_loss() -> None:
    (row,) = rows([replace(BRIDGE_50, failures={"refused": 3, "early_bye": 1})], FASTEST_MS)
    assert row[5] == "0.005, 4 calls failed"


def test_a_gateway_without_a_window_has_neither_loss_nor_ratio() -> None:
    broken = replace(
        ASTERISK_50,
        cpu_ms_per_call_s=math.nan,
        load={"media": {**MEDIA, "sent": 0, "lost": 0}},
    )
    assert broken.loss == 1.0
    (row,) = rows([broken], FASTEST_MS)
    assert row[3:6] == ("-", "-", "-")


def test_tables_have_a_line_for_each_point_below_their_heads() -> None:
    points = [BRIDGE_50, ASTERISK_50]
    assert len(table(points, FASTEST_MS).splitlines()) == 3
    assert len(markdown(points, FASTEST_MS).splitlines()) == 4
    assert all(
        line.count("|") == len(COLUMNS) + 1 for line in markdown(points, FASTEST_MS).splitlines()
    )


def test_gateways_are_interleaved_and_take_turns_in_going_first() -> None:
    assert list(plan([10, 50], ("bridge", "asterisk"))) == [
        (10, "bridge"),
        (10, "asterisk"),
        (50, "asterisk"),
        (50, "bridge"),
    ]


def test_numbers_of_the_bridge_alone_come_last() -> None:
    assert list(plan([10], ("asterisk", "bridge"), [500])) == [
        (10, "asterisk"),
        (10, "bridge"),
        (500, "bridge"),
    ]
    assert list(plan([10], ("asterisk",), [500])) == [(10, "asterisk")]


@pytest.mark.parametrize("exponent", [0.7, 1.0, 1.3])
def test_growth_is_the_exponent_of_all_cpu(exponent: float) -> None:
    points = [
        replace(BRIDGE_50, calls=calls, cpu_ms_per_call_s=3 * calls ** (exponent - 1))
        for calls in (10, 50, 200, 1000)
    ]
    lossy = replace(BRIDGE_50, calls=2000, load={"media": {**MEDIA, "lost": 5000}})
    assert growth([*points, lossy, ASTERISK_50], "bridge") == pytest.approx(exponent)
    assert list(growth_told([*points, ASTERISK_50])) == [
        f"CPU of bridge, 10 to 1000 calls: grows as calls^{exponent:.2f}"
    ]


def test_one_point_does_not_grow() -> None:
    assert math.isnan(growth([BRIDGE_50], "bridge"))
    assert list(growth_told([BRIDGE_50])) == []


def test_pictures_show_both_gateways_and_what_was_lost(tmp_path: Path) -> None:
    media = {**MEDIA, "lost": 5000, "link_to_phone_ms": DELAYS}
    points = [
        BRIDGE_50,
        replace(BRIDGE_50, calls=500),
        replace(ASTERISK_50, load={"media": media}),
        replace(ASTERISK_50, calls=100, cpu_ms_per_call_s=math.nan),
    ]
    draw(points, tmp_path)
    cpu, delay = ((tmp_path / name).read_text() for name in (CPU, DELAY))
    for said in ("siax", "Asterisk 22", "2.0", "10.4", "5.0 % of the audio lost", ">500<"):
        assert said in cpu
    for said in ("siax", "Asterisk 22", "audio was lost", "From the link to the phone"):
        assert said in delay


def test_results_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    slices = [Slice(1.5, 0.2, 0.1, FASTEST_MS), Slice(1.7, 0.2, 0.1, 2 * FASTEST_MS)]
    row = SET_UP_BRIDGE | {"slices": slices}
    results = Results([replace(BRIDGE_50, slices=slices)], [row])
    results.write(tmp_path / "results.json", batches=False)
    written = (tmp_path / "results.json").read_text()
    assert Results.read(json.loads(written)) == results
    assert "[ 1.5, 0.2, 0.1, 0.3 ]" in written


def test_the_document_holds_every_point() -> None:
    results = {
        "date": "2026-01-02T03:04:05+00:00",
        "machine": {"cpu": "some", "cores": 2, "kernel": "6.1", "python": "3.11"},
        "versions": {"bridge": "siax 1", "asterisk": "22"},
        "points": [_as_json(BRIDGE_50), _as_json(ASTERISK_50)],
        "set_up": [SET_UP_ASTERISK, SET_UP_BRIDGE],
    }
    text = render(results)
    assert "Measured on 2026-01-02: some, 2 cores, Linux 6.1" in text
    assert "| 50 | asterisk | 10.40 | - | 5.2 x |" in text
    assert "| bridge | 0.2 | 80 |" in text
    assert "| 100 | bridge | 2.50 | - | - | 0 of 1000 | 7.0 | 2.00 |" in text
    assert "| 100 | asterisk | 5.00 | - | 2.0 x | 3 of 1000 | - | 2.00 |" in text
    assert "$" not in text


def _as_json(point: Point) -> dict[str, object]:
    return {name: getattr(point, name) for name in Point.__dataclass_fields__}
