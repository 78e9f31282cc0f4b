"""Calls set up and torn down at a rate: none fails, and nothing of them is left.

SIP phone, bridge and far end are processes of their own; every call dials its number, in a short
envelope. Issue A: 100 calls/s for 30 s.
"""

from dataclasses import asdict

import pytest

from tests.bench.call_rate import measure_call_rate, summary
from tests.bench.tools import build_tools
from tests.lab.results import record, sized


@pytest.mark.alone
def test_calls_come_and_go_without_a_failure_or_a_leak() -> None:
    rate_per_s = sized(10.0, 100.0)
    seconds = sized(3.0, 30.0)
    result = measure_call_rate("bridge", build_tools(), rate_per_s, seconds)
    record("call rate", {**summary(result), "left": result.left, "faults": result.faults()})
    assert result.faults() == [], asdict(result)
