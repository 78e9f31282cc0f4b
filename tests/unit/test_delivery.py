"""From a number that a link's call dialed to the phone that rings."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.dialing.delivery import DeliveryPlan, Phone, PhoneRoute, RegisteredPhone
from bridge.dialing.plan import DialTemplate


def route(match: str, user: str = "{0}", link: str = "hq") -> PhoneRoute:
    expression = re.compile(match)
    template = DialTemplate.parse(user, expression)
    return PhoneRoute(expression, link, template, "192.0.2.30:5060;transport=udp")


PLAN = DeliveryPlan(
    (route(r"2\d\d"), route(r"9(?P<rest>\d+)", "trunk-{rest}"), route(r"\d+", "north", "north"))
)


@pytest.mark.parametrize(
    ("number", "link", "user"),
    [
        ("201", "hq", "201"),
        ("94930", "hq", "trunk-4930"),
        ("201", "north", "north"),
    ],
)
def test_the_first_route_of_the_link_that_matches_is_taken(
    number: str, link: str, user: str
) -> None:
    assert PLAN.resolve(number, link) == Phone(f"sip:{user}@192.0.2.30:5060;transport=udp")


@pytest.mark.parametrize(("number", "link"), [("2011", "hq"), ("20", "hq"), ("201", "south")])
def test_a_number_that_is_nobodys(number: str, link: str) -> None:
    assert PLAN.resolve(number, link) is None


def test_a_phone_that_registers_is_found_by_its_name() -> None:
    expression = re.compile(r"2(\d\d)")
    template = DialTemplate.parse("desk-{1}", expression)
    plan = DeliveryPlan((PhoneRoute(expression, "hq", template, ""),))
    assert plan.resolve("201", "hq") == RegisteredPhone("desk-01")
    assert "01" not in repr(plan.resolve("201", "hq"))


def test_without_routes_there_is_no_phone() -> None:
    assert DeliveryPlan().resolve("201", "hq") is None


def test_a_number_is_in_no_repr() -> None:
    assert "201" not in repr(PLAN.resolve("201", "hq"))


@given(st.text("0123456789*#ABCD", min_size=1, max_size=64))
def test_what_was_dialed_stays_within_the_user_part(number: str) -> None:
    phone = DeliveryPlan((route(".*"),)).resolve(number, "hq")
    assert isinstance(phone, Phone)
    scheme, at, place = phone.uri.partition("@")
    assert (scheme[:4], at, place) == ("sip:", "@", "192.0.2.30:5060;transport=udp")
    assert scheme[4:] == number.replace("#", "%23")


@pytest.mark.parametrize(
    ("number", "link", "user"),
    [("201", "hq", "201"), ("201", "north", "north"), ("7", "hq", "north")],
)
def test_a_number_that_only_another_links_callers_reach_is_found(
    number: str, link: str, user: str
) -> None:
    assert PLAN.find(number, link) == Phone(f"sip:{user}@192.0.2.30:5060;transport=udp")
    assert PLAN.find("*", link) is None
