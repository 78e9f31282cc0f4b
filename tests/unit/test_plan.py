import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.dialing.caller import CallerFormat
from bridge.dialing.plan import (
    CALLED_CHARACTERS_MAX,
    DTMF_DIGITS,
    Destination,
    DialError,
    DialErrorKind,
    DialPlan,
    DialTemplate,
    DialTemplateError,
    DigitLimits,
    Route,
    canonical_number,
    check_digits,
)

LIMITS = DigitLimits(digits_max=25, terminator="#")


def route(match: str, dial: str = "{1}", link: str = "hq") -> Route:
    expression = re.compile(match, re.ASCII)
    return Route(expression, link, DialTemplate.parse(dial, expression))


def plan(*routes: Route) -> DialPlan:
    return DialPlan(routes, {"hq": LIMITS, "north": LIMITS, "south": DigitLimits(3, "*")})


NINE = plan(route(r"^9(\d+)$"))


def test_a_number_goes_to_its_link_without_the_prefix() -> None:
    assert NINE.resolve("95551234") == Destination("hq", "5551234")


def test_no_route_is_none() -> None:
    assert NINE.resolve("5551234") is None
    assert NINE.resolve("") is None
    assert NINE.resolve("front-desk") is None


def test_the_caller_goes_with_the_number_where_the_link_sends_it() -> None:
    limits = DigitLimits(12, "#", CallerFormat.parse("*{caller}*{called}#", "#"))
    sends = DialPlan([route(r"^9(.+)$")], {"hq": limits})
    assert sends.resolve("9112", caller="+49-30") == Destination("hq", "*4930*112")
    assert sends.resolve("9112", caller="anonymous") == Destination("hq", "**112")
    assert sends.resolve("9112", caller="1234567") == Destination("hq", "*1234567*112")
    assert NINE.resolve("9112", caller="4930") == Destination("hq", "112")
    with pytest.raises(DialError) as caught:
        sends.resolve("9112", caller="12345678")
    assert caught.value.kind is DialErrorKind.DOES_NOT_FIT
    assert "12345678" not in str(caught.value)
    with pytest.raises(DialError) as caught:
        sends.resolve("91#2", caller="1")
    assert caught.value.kind is DialErrorKind.CONTAINS_TERMINATOR


def test_the_first_matching_route_is_taken() -> None:
    both = plan(route("1(.*)", link="north"), route("(.*)", link="hq"))
    assert both.resolve("12") == Destination("north", "2")
    assert both.resolve("22") == Destination("hq", "22")


def test_an_expression_must_match_the_whole_number() -> None:
    assert plan(route("9(11)")).resolve("9112") is None
    assert plan(route("9(11)")).resolve("0911") is None


@pytest.mark.parametrize(
    ("user_part", "number"),
    [
        ("9-555-1234", "95551234"),
        ("+49(30)123.45", "+493012345"),
        ("9%20555%201234", "95551234"),
        ("9123%23", "9123#"),
        ("9123;phone-context=+49", "9123"),
        ("a-b", "ab"),
        ("front-desk", "front-desk"),
        ("alice.smith;x=1", "alice.smith"),
        ("9+1-2", "9+1-2"),
        ("%ff", "�"),
        ("", ""),
    ],
)
def test_what_sip_and_people_add_is_undone(user_part: str, number: str) -> None:
    assert canonical_number(user_part) == number


def test_plus_matches_only_where_the_plan_says_so() -> None:
    assert plan(route(r"(\d+)")).resolve("+4930123") is None
    assert plan(route(r"\+(\d+)", "00{1}")).resolve("+49-30-123") == Destination("hq", "004930123")


def test_letters_of_dtmf_are_sent_in_capitals() -> None:
    assert plan(route("(.*)")).resolve("1abcD*") == Destination("hq", "1ABCD*")


@pytest.mark.parametrize(
    ("called", "kind"),
    [
        ("9x", DialErrorKind.NOT_DTMF),
        ("9+1", DialErrorKind.NOT_DTMF),
        ("9٣", DialErrorKind.NOT_DTMF),
        ("91%232", DialErrorKind.CONTAINS_TERMINATOR),
        ("9" + "1" * 26, DialErrorKind.DOES_NOT_FIT),
        ("9" + "1" * 500, DialErrorKind.DOES_NOT_FIT),
    ],
)
def test_what_cannot_be_dialed_is_a_dial_error_without_the_number(
    called: str, kind: DialErrorKind
) -> None:
    with pytest.raises(DialError) as caught:
        plan(route("9(.*)")).resolve(called)
    assert caught.value.kind is kind
    assert called not in str(caught.value)


def test_exactly_the_slots_less_the_terminator_fit() -> None:
    check_digits("1" * 25, LIMITS)
    check_digits("", LIMITS)
    with pytest.raises(DialError):
        check_digits("1" * 26, LIMITS)


def test_unicode_digits_match_no_ascii_class() -> None:
    assert NINE.resolve("9٣٤") is None


def test_no_number_in_a_repr() -> None:
    assert "555" not in repr(NINE.resolve("9555"))


def test_templates_take_text_numbers_and_names() -> None:
    named = plan(route(r"(?P<area>\d)-?(\d+)?", "0{area}{2}{0}"))
    assert named.resolve("12") == Destination("hq", "01212")
    assert named.resolve("1") == Destination("hq", "011")
    assert DialTemplate.parse("0{1}*", re.compile("(.)")).literal_digits == "0*"


@pytest.mark.parametrize(
    "text", ["{", "}", "{1", "{}", "{2}", "{-1}", "{x}", "{1!r}", "{1:5}", "{1.real}", "{9999}"]
)
def test_a_template_that_does_not_fit_is_refused(text: str) -> None:
    with pytest.raises(DialTemplateError):
        DialTemplate.parse(text, re.compile("(.)"))


@given(st.text(max_size=200))
def test_strangers_can_cause_a_dial_error_and_nothing_else(called: str) -> None:
    open_plan = plan(route("9(.*)"), route("(.*)", link="south"))
    try:
        destination = open_plan.resolve(called)
    except DialError as error:
        assert str(error) == error.kind.value  # noqa: PT017  both outcomes are allowed
    else:
        assert destination is None or (set(destination.digits) <= DTMF_DIGITS)


@given(st.text("0123456789", min_size=1, max_size=25), st.sampled_from(["", "-", ".", " "]))
def test_separators_never_change_where_a_number_goes(digits: str, separator: str) -> None:
    assert NINE.resolve(separator.join("9" + digits)) == Destination("hq", digits)


def test_matching_is_bounded() -> None:
    assert len(canonical_number("1" * 1000)) > CALLED_CHARACTERS_MAX
    with pytest.raises(DialError):
        plan().resolve("1" * (CALLED_CHARACTERS_MAX + 1))
