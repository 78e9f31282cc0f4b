"""Limits on calls: in all, of a link, of a phone, a second, and how long one may last."""

import pytest

from bridge.bridging.limits import (
    NOBODY,
    RATED_PHONES_MAX,
    CallGate,
    CallLimits,
    TooManyCallsError,
)
from bridge.iax2 import Cause, EndReason
from tests.lab.bridged_calls import Stage
from tests.lab.bridged_phone import Phone, q850
from tests.lab.inbound_calls import InboundStage


def refused_for(phone: Phone) -> str:
    """Return the Retry-After of a phone that was refused at once."""
    assert phone.got == [503]
    return dict(phone.headers)["Retry-After"]


class TestCallsInAll:
    def test_one_too_many(self) -> None:
        stage = Stage(limits=CallLimits(calls_max=2))
        first, second = stage.dial(), stage.dial()
        assert refused_for(stage.dial()) == "30"
        assert stage.switchboard.counters.limited == 1
        assert stage.switchboard.counters.taken == 2
        first.cancel()
        assert stage.dial().got == [180]
        assert second.got == [180]

    def test_a_call_from_a_link(self) -> None:
        stage = InboundStage(limits=CallLimits(calls_max=1))
        stage.ringing()
        stage.caller.place()
        stage.run(0.5)
        assert stage.caller.ended[-1][1:] == (EndReason.REJECTED, Cause.SWITCH_CONGESTION)
        assert stage.reception.rejected == 1
        assert stage.switchboard.live_calls == 1


class TestCallsOfALink:
    def test_one_too_many(self) -> None:
        stage = Stage(calls_max=1)
        first = stage.dial()
        assert refused_for(stage.dial()) == "30"
        assert stage.switchboard.counters.limited == 1
        first.cancel()
        assert stage.dial().got == [180]

    def test_a_call_from_it(self) -> None:
        stage = InboundStage(link={"calls_max": 1})
        stage.ringing()
        stage.caller.place()
        stage.run(0.5)
        assert stage.caller.ended[-1][1:] == (EndReason.REJECTED, Cause.SWITCH_CONGESTION)


class TestCallsOfAPhone:
    def test_phones_without_a_name_are_told_apart_by_address(self) -> None:
        stage = Stage(limits=CallLimits(phone_calls_max=1))
        first = stage.dial()
        assert refused_for(stage.dial()) == "30"
        first.cancel()
        assert stage.dial().got == [180]

    def test_phones_with_a_name_are_told_apart_by_it(self) -> None:
        stage = Stage(limits=CallLimits(phone_calls_max=1))
        assert stage.dial(user="alice").got == [180]
        assert stage.dial(user="bob").got == [180]
        assert refused_for(stage.dial(user="alice")) == "30"

    def test_calls_of_links_are_nobodys(self) -> None:
        CallGate(CallLimits(phone_calls_max=1)).check("alice", [NOBODY, NOBODY, "bob"], 0.0)


class TestCallsASecond:
    def test_one_too_many_in_any_second(self) -> None:
        stage = Stage(limits=CallLimits(phone_calls_per_s=2))
        stage.dial("no route")
        stage.run(0.6)
        assert stage.dial().got == [180]
        assert refused_for(stage.dial()) == "1"
        assert stage.dial(user="alice").got == [180]
        stage.run(0.5)
        assert stage.dial().got == [180]
        assert refused_for(stage.dial()) == "1"

    def test_what_is_remembered_is_bounded(self) -> None:
        gate = CallGate(CallLimits(phone_calls_per_s=1))
        gate.check("first", [], 0.0)
        for number in range(RATED_PHONES_MAX - 1):
            gate.check(str(number), [], 0.0)
        with pytest.raises(TooManyCallsError):
            gate.check("first", [], 0.5)  # which makes it the newest one
        gate.check("another", [], 0.5)
        with pytest.raises(TooManyCallsError):
            gate.check("first", [], 0.6)
        gate.check("0", [], 0.6)
        assert len(gate._begun) == RATED_PHONES_MAX


class TestDuration:
    def test_a_phones_call(self) -> None:
        stage = Stage(duration_s=30)
        phone = stage.talking()
        since = stage.story.at("200")
        stage.run(40.0)
        assert phone.got[-1] == "BYE"
        assert q850(phone) == "Q.850;cause=102"
        assert since + 30 <= stage.story.at("BYE") <= since + 31
        assert stage.far.ended == [(EndReason.HANGUP, Cause.RECOVERY_ON_TIMER_EXPIRY)]
        stage.assert_nothing_left()

    def test_it_counts_on_hold_too(self) -> None:
        stage = Stage(duration_s=30)
        phone = stage.talking()
        assert phone.offers("inactive")
        stage.run(31.0)
        assert phone.got[-1] == "BYE"

    def test_a_links_call(self) -> None:
        stage = InboundStage(duration_s=30)
        phone = stage.talking()
        stage.run(28.0)
        assert phone.got[-1] == "INVITE"
        stage.run(4.0)
        assert phone.got[-1] == "BYE"
        assert stage.caller.ended[-1][1:] == (EndReason.HANGUP, Cause.RECOVERY_ON_TIMER_EXPIRY)
        stage.assert_nothing_left()


def test_without_limits_nothing_is_remembered() -> None:
    gate = CallGate(CallLimits())
    for _ in range(1000):
        gate.check("alice", ["alice"] * 50, 0.0)
    assert not gate.is_full(100_000)
    assert not gate._begun
