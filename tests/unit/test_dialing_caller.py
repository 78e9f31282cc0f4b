import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.dialing.caller import CallerFormat, CallerFormatError
from bridge.dialing.plan import caller_digits

USUAL = CallerFormat.parse("*{caller}*{called}#", "#")
DIGITS = st.text("0123456789", max_size=20)


def test_both_stand_between_their_signs() -> None:
    assert USUAL.compose("4930", "112") == "*4930*112"
    assert USUAL.compose("", "112") == "**112"
    assert USUAL.signs == 2


@pytest.mark.parametrize(
    ("text", "terminator", "composed"),
    [
        ("{called}*{caller}#", "#", "112*4930"),
        ("A{caller}B{called}C#", "#", "A4930B112C"),
        ("#{caller}##{called}*", "*", "#4930##112"),
        ("*{caller}*{called}5", "5", "*4930*112"),
    ],
)
def test_other_formats(text: str, terminator: str, composed: str) -> None:
    caller_format = CallerFormat.parse(text, terminator)
    assert caller_format.compose("4930", "112") == composed
    assert caller_format.signs == len(composed) - len("4930112")


@pytest.mark.parametrize(
    ("text", "terminator", "why"),
    [
        ("{called}#", "#", "each once"),
        ("*{caller}*{caller}#", "#", "each once"),
        ("{caller}{called}#", "#", "between"),
        ("{caller}0{called}#", "#", "between"),
        ("*{caller}*{called}*{called}#", "#", "each once"),
        ("*{caller}*{number}#", "#", "each once"),
        ("*{caller}x{called}#", "#", "between"),
        ("*{caller}*{called}", "#", "terminator at the end"),
        ("", "#", "each once"),
        ("*{caller}*{called}#", "*", "last character"),
        ("#{caller}*{called}#", "#", "at the end alone"),
    ],
)
def test_what_a_far_end_could_not_take_apart(text: str, terminator: str, why: str) -> None:
    with pytest.raises(CallerFormatError, match=why):
        CallerFormat.parse(text, terminator)


@given(DIGITS, st.text("0123456789*ABCD", max_size=20))
def test_a_far_end_takes_it_apart_as_the_shipped_dial_plan_does(caller: str, called: str) -> None:
    empty, first, *rest = USUAL.compose(caller, called).split("*")
    assert (empty, first, "*".join(rest)) == ("", caller, called)


@pytest.mark.parametrize(
    "text", ["*{caller}*{called}#", "{called}*{caller}#", "A{caller}BB{called}C#"]
)
@given(caller=DIGITS, called=st.text("0123456789*ABCD", max_size=20))
def test_what_was_composed_is_taken_apart(text: str, caller: str, called: str) -> None:
    caller_format = CallerFormat.parse(text, "#")
    assert caller_format.split(caller_format.compose(caller, called)) == (caller, called)


@pytest.mark.parametrize(
    "digits", ["", "112", "*4930", "4930*112", "*49A30*112", f"*{'1' * 33}*112"]
)
def test_digits_that_hold_no_caller(digits: str) -> None:
    assert USUAL.split(digits) is None


@pytest.mark.parametrize(
    ("user_part", "digits"),
    [
        ("4930123", "4930123"),
        ("+49 (30) 123-45", "493012345"),
        ("1001;phone-context=example.com", "1001"),
        ("anonymous", ""),
        ("Anonymous", ""),
        ("alice", ""),
        ("*55", ""),
        ("12#", ""),
        ("A12", ""),
        ("+", ""),
        ("++49", ""),
        ("\u0661\u0662", ""),
        ("", ""),
    ],
)
def test_a_caller_is_a_number_or_nobody(user_part: str, digits: str) -> None:
    assert caller_digits(user_part) == digits


@given(st.text())
def test_whatever_a_phone_calls_itself(user_part: str) -> None:
    assert set(caller_digits(user_part)) <= set("0123456789")
