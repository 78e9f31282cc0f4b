"""Proof, interop: Read() and the dial plan that we ship take every number as it was dialed.

Many calls at a time, over a link that loses datagrams, too.
"""

import pytest

from tests.lab.asterisk_fetch import AsteriskTree
from tests.lab.results import record, sized
from tests.leak.plan import plan_calls
from tests.leak.recording import Pace, place_calls

DIALING_MAX_S = 2.2
LOSS = 0.02
CASES = sized(
    [("22", 0.0), ("16", LOSS)],
    [("22", 0.0), ("16", 0.0), ("22", LOSS), ("16", LOSS)],
)


@pytest.mark.parametrize(("version", "loss"), CASES)
def test_every_number_is_read_as_it_was_dialed(
    trees: dict[str, AsteriskTree], version: str, loss: float
) -> None:
    plan = plan_calls(sized(4, 200), seed=int(version))
    pace = Pace(rate_per_s=15, hold_s=0.3)
    outcome = place_calls(trees[version], plan, pace, loss=loss, media=False)
    dialing_s = sorted(outcome.dialing_s)
    median_s = dialing_s[len(dialing_s) // 2]
    record(
        "numbers read by Asterisk",
        {
            "asterisk": trees[version].version,
            "loss": f"{loss:.0%}",
            "calls": len(plan),
            "read_as_dialed": len(plan) - outcome.wrong,
            "calls_failed": sum(outcome.failed.values()),
            "dialing_s_p50": round(median_s, 3),
            "dialing_s_longest": round(dialing_s[-1], 3),
            "machine_was_late_s": round(outcome.late_s, 3),
        },
    )
    assert outcome.wrong == 0
    assert not outcome.failed
    assert len(dialing_s) == len(plan)
    if not loss:
        assert median_s < DIALING_MAX_S
        assert dialing_s[-1] < DIALING_MAX_S + outcome.late_s
