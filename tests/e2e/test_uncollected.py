"""A call that is over is freed at once: to search for circles would stop the audio of all others.

At 360 calls a second one such search took 0.35 s.
"""

import json
import time
from typing import Final

import pytest

from tests.bench.call_rate import SHORT_DIALING
from tests.bench.far_end_process import FarEndProcess
from tests.bench.gateways import BridgeGateway, Site
from tests.bench.load import LoadPlan, failures, run_load
from tests.bench.tools import build_tools

_PLAN: Final = LoadPlan(calls=20, rate_per_s=20, hold_s=0.2, media=False)
_SLOTS_PASS_S: Final = 0.5
"""A call that is over is still known to the next point of the clock of signals, 0.1 s apart."""
_OF_A_CALL: Final = {"BridgedCall", "SipLeg", "PjCall"}


@pytest.mark.alone
def test_a_call_that_is_over_waits_for_no_collector() -> None:
    tools, site = build_tools(), Site.free()
    bridge = BridgeGateway(site, SHORT_DIALING, module=("tests.lab.uncollected",))
    with FarEndProcess(tools, site), bridge:
        load = run_load(tools, site.phone, bridge.sip_address, _PLAN)
        time.sleep(_SLOTS_PASS_S)
        left = bridge.finish()
        there = json.loads(bridge.log.read_text().splitlines()[-1])
    assert failures(load) == {}
    assert not any(left.values())
    assert there["event"] == "uncollected"
    assert {name: there[name] for name in _OF_A_CALL & there.keys()} == {}
