"""Seeded calls that talk over the worst networks: nothing wedges, leaks or plays garbage.

Every call ends once, with a cause, in the time that the timers of IAX2.md leave it. On failure the
seed and the newest frames are printed.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bridge.iax2 import EndReason
from bridge.iax2.channel import FrameChannel
from tests.lab.results import record, sized
from tests.simulation.network import Simulation, Weather
from tests.simulation.talking_calls import (
    CALLEE,
    CALLER,
    SECRET,
    SETTLED_S,
    Conversation,
    TalkingCalls,
    check_ends,
    longest_end_s,
)

SEED = 20261126
WRAP_AFTER_S = 60.0
BEYOND_S = 15.0
DAY_S = 86_400.0
REKEY_DEAF_S = 0.3

WEATHERS = {
    "30 % loss": Weather(loss=0.3),
    "50 % duplication": Weather(duplication=0.5, jitter_s=0.02),
    "reordering up to 500 ms": Weather(jitter_s=0.5),
    "all at once": Weather(loss=0.3, duplication=0.5, jitter_s=0.5),
}
FIRST_TIMESTAMPS_MS = {
    "mini timestamp": 2**16 - 60_000,
    "32-bit timestamp": 2**32 - 60_000,
}


@contextmanager
def told_on_failure(simulation: Simulation) -> Iterator[None]:
    try:
        yield
    except Exception:
        print(simulation.report())
        raise


def run_until_settled(talking: TalkingCalls, seconds: float) -> Counter[str]:
    simulation = talking.simulation
    with told_on_failure(simulation):
        simulation.run(simulation.now + seconds)
        simulation.run(simulation.now + longest_end_s(simulation.weather) + SETTLED_S)
        return check_ends(talking)


def answered(talking: TalkingCalls) -> list[Conversation]:
    return [each for each in talking.conversations if each.answered_at is not None]


@pytest.mark.parametrize("name", WEATHERS)
def test_talking_in_bad_weather(name: str) -> None:
    calls = sized(small=30, full=1000)
    simulation = Simulation(SEED, WEATHERS[name], SECRET)
    talking = TalkingCalls(simulation, talk_s=4.0)
    talking.place_each(0.2, calls)
    reasons = run_until_settled(talking, calls * 0.2 + 20)
    up = answered(talking)
    lived = [each for each in up if EndReason.LOCAL in each.near.ended]
    with told_on_failure(simulation):
        assert len(up) >= calls * (0.5 if simulation.weather.loss else 0.99)
        assert len(lived) >= len(up) * (0.5 if simulation.weather.loss else 1)
        for conversation in lived:
            for leg in conversation.legs:
                said = conversation.other(leg).said
                assert len(leg.heard) >= said * (0.8 - simulation.weather.loss), leg
    figures = {"weather": name, "calls": calls, "answered": len(up), "seed": SEED}
    record("calls that talk", {**figures, "ends": dict(sorted(reasons.items()))})


@pytest.mark.parametrize("name", ["calm", "30 % loss", "reordering up to 500 ms"])
def test_both_sides_hang_up_at_once(name: str) -> None:
    calls = sized(small=40, full=1000)
    simulation = Simulation(SEED, WEATHERS.get(name, Weather()), SECRET)
    talking = TalkingCalls(simulation, talk_s=1000, voice_every_ms=100)
    talking.place_each(0.2, calls)
    start = simulation.now

    def hang_up_both() -> None:
        for conversation in answered(talking):
            if conversation.hung_up_at is None:
                talking.hang_up(conversation, CALLER, CALLEE)

    for number in range(calls * 2 + 100):
        simulation.at(start + number * 0.1, hang_up_both)
    reasons = run_until_settled(talking, calls * 0.2 + 20)
    with told_on_failure(simulation):
        assert answered(talking)
        if name == "calm":
            assert set(reasons) == {"LOCAL"}
            for conversation in talking.conversations:
                assert conversation.hung_up_at is not None
                assert all(
                    leg.ended_at <= conversation.hung_up_at + 0.1 for leg in conversation.legs
                )
    figures = {"weather": name, "calls": calls, "seed": SEED}
    record("both sides hang up at once", {**figures, "ends": dict(sorted(reasons.items()))})


@pytest.mark.parametrize("side", [CALLER, CALLEE], ids=["caller", "callee"])
@pytest.mark.parametrize("jitter_s", [0.0, 0.06])
def test_the_acknowledgement_of_rtkey_is_lost(side: tuple[str, int], jitter_s: float) -> None:
    calls = sized(small=15, full=500)
    simulation = Simulation(SEED, Weather(jitter_s=jitter_s), SECRET)
    talking = TalkingCalls(simulation, talk_s=8.0)
    deaf_until = [0.0]
    simulation.swallow = lambda source, _: source != side and simulation.now < deaf_until[0]
    start = simulation.now

    def place_alone() -> None:
        talking.place()
        conversation = talking.conversations[-1]
        for after_s in (2.0, 4.5):
            simulation.at(simulation.now + after_s, lambda: rotate(conversation))

    def rotate(conversation: Conversation) -> None:
        leg = next(each for each in conversation.legs if each.address == side)
        talking.rotate(leg)
        deaf_until[0] = simulation.now + REKEY_DEAF_S

    for number in range(calls):
        simulation.at(start + number * 10.0, place_alone)
    reasons = run_until_settled(talking, calls * 10.0 + 10)
    with told_on_failure(simulation):
        assert set(reasons) == {"LOCAL", "HANGUP"}
        for conversation in talking.conversations:
            for leg in conversation.legs:
                # The other side is heard, but not believed until the second retransmission of
                # the PING that asks for proof of its key.
                silent_s = REKEY_DEAF_S + (0.1 if leg.address == side else 0.75)
                said = conversation.other(leg).said
                assert len(leg.heard) >= said - 2 * silent_s * 50, leg
                assert leg.last_heard_at > leg.ended_at - 0.5, leg
    figures = {"by": side[0], "jitter": jitter_s, "calls": calls, "rotations": 2 * calls}
    record("ACK of RTKEY lost", {**figures, "seed": SEED})


@pytest.mark.parametrize("side", [CALLER, CALLEE], ids=["caller", "callee"])
def test_a_peer_restarts_in_mid_call(side: tuple[str, int]) -> None:
    calls = sized(small=20, full=1000)
    simulation = Simulation(SEED, Weather(loss=0.02, jitter_s=0.03), SECRET)
    talking = TalkingCalls(simulation, talk_s=1000, voice_every_ms=100)
    talking.place_each(0.05, calls)
    restarted_at = simulation.now + calls * 0.05 + 5
    simulation.at(restarted_at, lambda: talking.start(side))
    simulation.at(restarted_at + 0.1, talking.place)
    after = simulation.now + calls * 0.05 + 20
    simulation.at(after, lambda: talking.hang_up(talking.conversations[-1], CALLER))
    simulation.run(restarted_at)
    stale = list(talking.conversations)
    for conversation in stale:
        conversation.hung_up_at = restarted_at  # from here on its end is due
    run_until_settled(talking, 60)
    with told_on_failure(simulation):
        assert talking.conversations[-1].answered_at is not None
        other = CALLEE if side == CALLER else CALLER
        for conversation in stale:
            (leg,) = (each for each in conversation.legs if each.address == other)
            assert leg.ended == [EndReason.NO_RESPONSE]
    record("peer restarted", {"restarted": side[0], "calls": calls, "seed": SEED})


@pytest.mark.parametrize("wrap", FIRST_TIMESTAMPS_MS)
def test_calls_begin_60_s_before_a_timestamp_wraps(
    wrap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_at(FIRST_TIMESTAMPS_MS[wrap], monkeypatch)
    talk_until_after_the_wrap(f"{wrap} wraps", signals=False)


def test_calls_go_on_when_sequence_numbers_wrap() -> None:
    """Five digits a second and their acknowledgements are 256 frames in some 50 s."""
    talk_until_after_the_wrap("sequence number wraps", signals=True)


def begin_at(first_timestamp_ms: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let both roles begin their timestamps there, where a call always begins at 0."""
    start = FrameChannel.start

    def begin(channel: FrameChannel, now: float, _: int = 0) -> None:
        start(channel, now, first_timestamp_ms)

    monkeypatch.setattr(FrameChannel, "start", begin)


def talk_until_after_the_wrap(name: str, *, signals: bool) -> None:
    calls = sized(small=2, full=100)
    simulation = Simulation(SEED, Weather(jitter_s=0.03), SECRET)
    talking = TalkingCalls(simulation, talk_s=WRAP_AFTER_S + BEYOND_S, signals=signals)
    talking.place_each(1.0, calls)
    reasons = run_until_settled(talking, calls + WRAP_AFTER_S + BEYOND_S + 10)
    with told_on_failure(simulation):
        assert reasons == {"LOCAL": calls, "HANGUP": calls}
        for conversation in talking.conversations:
            for leg in conversation.legs:
                other = conversation.other(leg)
                assert len(leg.heard) >= other.said - 5, leg  # those under way when it ended
                assert other.digits_sent[: len(leg.digits)] == leg.digits
                assert len(leg.digits) >= len(other.digits_sent) - 1
                if signals:
                    assert len(leg.digits) > 256
    record("calls across a wrap", {"wrap": name, "calls": calls, "seed": SEED})


@pytest.mark.parametrize("fast_ppm", [(0.0, 200.0), (200.0, 0.0)])
def test_a_call_of_a_day_with_clocks_that_drift(fast_ppm: tuple[float, float]) -> None:
    """Voice is thinned to a frame each 5 s; 200 ppm are 17 s in a day."""
    talk_s = sized(small=DAY_S / 4, full=DAY_S)
    simulation = Simulation(SEED, Weather(jitter_s=0.03), SECRET)
    talking = TalkingCalls(simulation, talk_s=talk_s, voice_every_ms=5000, fast_ppm=fast_ppm)
    talking.place_each(1.0, 1)
    reasons = run_until_settled(talking, talk_s + 30)
    with told_on_failure(simulation):
        assert reasons == {"LOCAL": 1, "HANGUP": 1}
        (conversation,) = talking.conversations
        for leg in conversation.legs:
            assert len(leg.heard) >= conversation.other(leg).said - 1
    hours = round(talk_s / 3600)
    record("long call", {"hours": hours, "ppm": max(fast_ppm), "voice frames": len(leg.heard)})


@pytest.mark.parametrize("fast_ppm", [(0.0, 200.0), (200.0, 0.0)])
def test_calls_with_all_their_voice_and_clocks_that_drift(fast_ppm: tuple[float, float]) -> None:
    calls, talk_s = sized(small=(1, 60.0), full=(20, 600.0))
    simulation = Simulation(SEED, Weather(jitter_s=0.03), SECRET)
    talking = TalkingCalls(simulation, talk_s=talk_s, fast_ppm=fast_ppm)
    talking.place_each(1.0, calls)
    reasons = run_until_settled(talking, calls + talk_s + 10)
    with told_on_failure(simulation):
        assert reasons == {"LOCAL": calls, "HANGUP": calls}
        for conversation in talking.conversations:
            for leg in conversation.legs:
                assert len(leg.heard) >= conversation.other(leg).said - 5, leg
    record("clocks that drift", {"ppm": max(fast_ppm), "calls": calls, "seconds": talk_s})
