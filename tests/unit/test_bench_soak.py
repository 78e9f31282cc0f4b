"""What a soak makes of its samples and counts."""

from dataclasses import replace

import pytest

from tests.bench.soak import FLAT_AFTER_S, GROWTH_MAX, SPAN_S, Soak, growth
from tests.bench.usage import OpenFiles
from tests.lab import LabError

FILES = OpenFiles(20, 10)
SOUND = Soak(
    calls=100,
    seconds=1800.0,
    growth=0.001,
    memory=120_000_000,
    lost=0,
    sent=9_000_000,
    failures={},
    left={"calls_left": 0},
    files=(FILES, FILES),
)


def test_growth_leaves_the_first_minutes_out() -> None:
    samples = [(float(at), 50 + min(at, 100)) for at in range(0, 600, 2)]
    assert growth(samples, FLAT_AFTER_S, SPAN_S) == 0
    leaking = [(at, octets + int(at)) for at, octets in samples]
    assert growth(leaking, FLAT_AFTER_S, SPAN_S) > 1


@pytest.mark.parametrize("seconds", [0, 100, 200])
def test_too_short_a_soak_tells_nothing(seconds: int) -> None:
    with pytest.raises(LabError, match="tell nothing"):
        growth([(float(at), 100) for at in range(0, seconds, 2)], FLAT_AFTER_S, SPAN_S)


def test_a_sound_one_has_no_faults() -> None:
    assert SOUND.faults() == []


@pytest.mark.parametrize(
    "unsound",
    [
        replace(SOUND, growth=2 * GROWTH_MAX),
        replace(SOUND, lost=9_001),
        replace(SOUND, failures={"early_bye": 1}),
        replace(SOUND, left={"calls_left": 1}),
        replace(SOUND, files=(FILES, OpenFiles(21, 11))),
    ],
)
def test_each_fault_is_told(unsound: Soak) -> None:
    assert len(unsound.faults()) == 1
