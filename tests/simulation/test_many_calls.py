"""One endpoint carries a thousand encrypted calls, and none of their voice gets lost."""

import time
from collections import Counter

from tests.lab.results import record, sized
from tests.simulation.network import Simulation, Weather
from tests.simulation.talking_calls import SECRET, TalkingCalls, check_ends

SEED = 20261126
SPACING_S = 0.02
SETTLED_S = 30.0
FRAMES_A_SECOND = 50


def test_a_thousand_calls_talk_at_once() -> None:
    calls, talk_s = sized(small=(40, 3.0), full=(1000, 30.0))
    simulation = Simulation(SEED, Weather(), SECRET)
    talking = TalkingCalls(simulation, talk_s=talk_s)
    talking.place_each(SPACING_S, calls)
    began = time.process_time()
    simulation.run(simulation.now + calls * SPACING_S + talk_s + SETTLED_S)
    cpu_s = time.process_time() - began
    assert check_ends(talking) == Counter({"LOCAL": calls, "HANGUP": calls})
    at_once = min(calls, round(talk_s / SPACING_S))
    for conversation in talking.conversations:
        for leg in conversation.legs:
            # A frame is under way for 20 ms: that of the hang-up is the last that may be missed.
            assert len(leg.heard) >= conversation.other(leg).said - 2, leg
            assert not leg.garbage
    call_seconds = calls * talk_s
    record(
        "calls of one endpoint",
        {
            "calls": calls,
            "at once": at_once,
            "frames each way": round(call_seconds * FRAMES_A_SECOND),
            "CPU ms a call-second, both ends and network": round(1000 * cpu_s / call_seconds, 1),
        },
    )
