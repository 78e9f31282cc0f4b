"""Seeded calls over a bad network: digits arrive once and in order, and nothing leaks."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from bridge.dialing.envelope import Cng, Digit, Envelope, SignalSlots
from bridge.iax2 import (
    Acknowledged,
    Call,
    CallAnswered,
    CalleeCall,
    CallEnded,
    CallProfile,
    ChallengeMemory,
    DigitReceived,
    Endpoint,
    EndReason,
    Event,
    Format,
    IncomingCall,
    User,
)
from tests.lab.results import record, sized
from tests.simulation.network import Simulation, Weather

CALLER = ("192.0.2.1", 4569)
CALLEE = ("192.0.2.2", 4569)
SECRET = b"a secret of the simulation"
ENVELOPE = Envelope(slots=26, slot_ms=60, start_ms=(200, 600), terminator="#")
SEED = 20261123
TALK_S = 2.0
CALL_SPACING_S = 0.25
SETTLED_S = 200.0
DIALED = object()


@dataclass(slots=True)
class Outcome:
    """What both sides know of one call."""

    digits: str
    received: str = ""
    answered: bool = False
    dialed: bool = False
    ended: list[EndReason] = field(default_factory=list)
    far_ended: list[EndReason] = field(default_factory=list)


class Scenario:
    """A caller that dials and talks a while, and a callee that listens to the digits."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.caller = Endpoint(entropy=simulation.entropy)
        self.callee = Endpoint([User("site", (SECRET,))], entropy=simulation.entropy)
        self.outcomes: dict[Call, Outcome] = {}
        self._far: dict[Call, Outcome] = {}
        self._profile = CallProfile(
            "site", SECRET, "enc", (Format.ULAW,), ChallengeMemory(simulation.entropy)
        )
        simulation.add(CALLER, self.caller, self._on_caller_event)
        simulation.add(CALLEE, self.callee, self._on_callee_event)

    def place(self) -> None:
        """Start one call with a number of its own."""
        length = self.simulation.random.randrange(1, 25)
        digits = "".join(self.simulation.random.choices("0123456789", k=length))
        call = self.caller.place_call(self._profile, CALLEE, self.simulation.now)
        self.outcomes[call] = Outcome(digits)

    def _on_caller_event(self, event: Event, now: float) -> None:
        outcome = self.outcomes[event.call]
        match event:
            case CallAnswered() if not outcome.answered:
                outcome.answered = True
                delay_s = ENVELOPE.draw_start_delay_s(self.simulation.random.uniform)
                slots = SignalSlots(ENVELOPE, outcome.digits, now + delay_s)
                self.simulation.at(slots.next_slot_at(), self._slot(event.call, slots))
            case Acknowledged(tag=tag) if tag is DIALED:
                outcome.dialed = True
                self.simulation.at(now + TALK_S, lambda: event.call.hang_up(self.simulation.now))
            case CallEnded(reason=reason):
                outcome.ended.append(reason)

    def _slot(self, call: Call, slots: SignalSlots) -> Callable[[], None]:
        def send() -> None:
            if self.outcomes[call].ended:
                return
            now = self.simulation.now
            was_dialing = not slots.dialing_over
            signal = slots.take(now)
            tag = DIALED if was_dialing and slots.dialing_over else None
            match signal:
                case Digit(value=value):
                    call.send_digit(value, now, tag)
                case Cng():
                    call.send_cng(now, tag)
            self.simulation.at(slots.next_slot_at(), send)

        return send

    def _on_callee_event(self, event: Event, now: float) -> None:
        match event:
            case IncomingCall(call=call) if isinstance(call, CalleeCall):
                call.accept(Format.ULAW, now)
                call.answer(now)
                self._far[call] = next(
                    outcome
                    for placed, outcome in self.outcomes.items()
                    if placed.call_number == call.peer_call_number and not outcome.ended
                )
            case DigitReceived(digit=digit):
                self._far[event.call].received += digit
            case CallEnded(reason=reason) if event.call in self._far:
                self._far[event.call].far_ended.append(reason)


WEATHERS = {
    "10 % loss, 5 % duplication, reordering": Weather(0.10, 0.05, jitter_s=0.06),
    "300 ms each way": Weather(delay_s=0.3),
    "50 % duplication, much reordering": Weather(duplication=0.5, jitter_s=0.2),
}


@pytest.mark.parametrize("name", WEATHERS)
def test_digits_arrive_once_and_in_order(name: str) -> None:
    weather = WEATHERS[name]
    simulation = Simulation(SEED, weather, SECRET)
    scenario = Scenario(simulation)
    calls = sized(small=100, full=1000)
    start = simulation.now
    for number in range(calls):
        simulation.at(start + number * CALL_SPACING_S, scenario.place)
    simulation.run(start + calls * CALL_SPACING_S + SETTLED_S)
    try:
        _check(scenario, calls)
    except AssertionError:
        print(simulation.report())
        raise
    answered = sum(outcome.answered for outcome in scenario.outcomes.values())
    record(f"simulation {name}", {"calls": calls, "seed": SEED, "set up": answered})


def _check(scenario: Scenario, calls: int) -> None:
    outcomes = list(scenario.outcomes.values())
    assert len(outcomes) == calls
    set_up = [outcome for outcome in outcomes if outcome.answered]
    assert len(set_up) >= calls - calls // 1000
    for outcome in outcomes:
        assert len(outcome.ended) == 1
        if not outcome.answered:
            assert outcome.ended == [EndReason.NO_RESPONSE]
    for outcome in set_up:
        assert outcome.dialed
        assert outcome.received == outcome.digits + ENVELOPE.terminator
        assert outcome.ended == [EndReason.LOCAL]
        assert outcome.far_ended == [EndReason.HANGUP]
    for endpoint in scenario.simulation.endpoints.values():
        assert endpoint.live_calls == 0
        assert endpoint.call_numbers_leaked == 0
        assert not endpoint._calls
        assert not endpoint._by_peer
        assert endpoint.next_timeout() is None
        endpoint._numbers.allocate(scenario.simulation.now + 1000)
        assert endpoint.call_numbers_taken == 1


def test_the_same_seed_gives_the_same_calls() -> None:
    first, second = (Simulation(SEED, Weather(loss=0.1, jitter_s=0.05)) for _ in range(2))
    for simulation in (first, second):
        scenario = Scenario(simulation)
        scenario.place()
        simulation.run(simulation.now + 5)
    assert first.report() == second.report()
    assert isinstance(first.random, random.Random)
