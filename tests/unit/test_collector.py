"""Digits of an accepted call: when they are a number, and when they never will be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.dialing.collector import Collection, CollectionLimits, DigitCollector

LIMITS = CollectionLimits(terminator="#", digits_max=8, inter_digit_s=5, total_s=15)


def collected(digits: str, limits: CollectionLimits = LIMITS) -> DigitCollector:
    """A collector that took digits, one each 60 ms from second 100 on."""
    collector = DigitCollector(limits, 100.0)
    for index, digit in enumerate(digits):
        collector.receive(digit, 100 + 0.06 * index)
    return collector


def test_the_terminator_ends_a_number_and_is_no_part_of_it() -> None:
    collector = collected("5551234")
    assert collector.state is Collection.OPEN
    assert collector.receive("#", 101) is Collection.COMPLETE
    assert collector.take() == "5551234"


def test_what_comes_after_the_end_is_not_taken() -> None:
    collector = collected("12#34#")
    assert collector.state is Collection.COMPLETE
    assert collector.take() == "12"


def test_digits_are_kept_no_longer_than_until_they_are_taken() -> None:
    collector = collected("12#")
    collector.take()
    assert collector.take() == ""


def test_another_terminator_leaves_the_usual_one_a_digit() -> None:
    limits = CollectionLimits("*", 8, 5, 15)
    collector = collected("1#2*", limits)
    assert collector.take() == "1#2"


@pytest.mark.parametrize("digits", ["", "#", "##1"])
def test_no_digit_is_no_number(digits: str) -> None:
    collector = collected(digits)
    assert collector.expire(115) is Collection.EMPTY
    assert collector.take() == ""


def test_a_silent_caller_is_waited_for_until_the_total_time_alone() -> None:
    collector = DigitCollector(LIMITS, 100.0)
    assert collector.deadline == 115
    assert collector.expire(114.99) is Collection.OPEN
    assert collector.expire(115) is Collection.EMPTY


def test_without_another_digit_the_number_is_complete() -> None:
    collector = collected("12")
    assert collector.deadline == pytest.approx(105.06)
    assert collector.expire(105.05) is Collection.OPEN
    assert collector.expire(105.07) is Collection.COMPLETE
    assert collector.take() == "12"


def test_each_digit_moves_the_deadline_but_never_past_the_total_time() -> None:
    collector = DigitCollector(LIMITS, 100.0)
    collector.receive("1", 104)
    assert collector.deadline == 109
    collector.receive("2", 108)
    assert collector.deadline == 113
    collector.receive("3", 112)
    assert collector.deadline == 115


def test_the_longest_number_is_taken_and_a_longer_one_refused_not_cut() -> None:
    assert collected("12345678#").take() == "12345678"
    collector = collected("123456789#")
    assert collector.state is Collection.TOO_LONG
    assert collector.take() == ""


def test_a_number_is_in_no_repr() -> None:
    assert "5551234" not in repr(collected("5551234"))


@given(st.text("0123456789*#ABCD", max_size=40))
def test_whatever_comes_ends_and_keeps_to_the_limit(digits: str) -> None:
    collector = collected(digits)
    assert collector.expire(115) is not Collection.OPEN
    number = collector.take()
    assert len(number) <= LIMITS.digits_max
    assert digits.startswith(number)
    assert "#" not in number
    assert (collector.state is Collection.COMPLETE) == bool(number)
