import re
import time

import pytest

from bridge.config.patterns import may_take_exponential_time, shortest_groups

CHEAP = (
    r"^9(\d+)$",
    r"[2-7]\d\d",
    r"\+?(\d{3,15})",
    r"(?:00|\+)49(\d*)",
    "911|112",
    r"9(\d++)+",
    r"(?P<area>\d{2,5})-(\d{3,8})",
    "(?>a+)+",
    r"(\d)*",
    "(?:1|2)+",
    "(?=9)(.*)",
)
COSTLY = (
    r"^(\d+)+$",
    r"(\d*)*x",
    r"(?:\d+-?)+",
    "(?:1|12)+x",
    "((1+)?)+",
    r"\d*\d*\d*\d*x",
    r"(?:\d+?)+?x",
    r"(?=(\d+)+x).*",
)


@pytest.mark.parametrize("expression", CHEAP)
def test_ordinary_expressions_are_cheap(expression: str) -> None:
    assert not may_take_exponential_time(re.compile(expression))


@pytest.mark.parametrize("expression", COSTLY)
def test_expressions_that_backtrack_for_long(expression: str) -> None:
    assert may_take_exponential_time(re.compile(expression))


@pytest.mark.parametrize("expression", [*CHEAP, r"\d*\d*\d*x"])
def test_what_counts_as_cheap_costs_little_on_the_longest_number(expression: str) -> None:
    started = time.thread_time()
    re.compile(expression).fullmatch("9" * 64)
    assert time.thread_time() - started < 0.2


@pytest.mark.parametrize(
    ("expression", "shortest"),
    [
        (r"^9(\d+)$", {0: 2, 1: 1}),
        (r"(\d{30,})?(1|22)", {0: 1, 1: 0, 2: 1}),
        (r"(a(bb))|(c)", {0: 1, 1: 0, 2: 0, 3: 0}),
        (r"(?P<x>\d{3})(?:-(\d{4}))", {0: 8, 1: 3, 2: 4}),
        (r"(?=(\d\d))(.*)", {0: 0, 1: 2, 2: 0}),
        (r"(?:(1))*", {0: 0, 1: 0}),
    ],
)
def test_the_fewest_characters_of_each_group(expression: str, shortest: dict[int, int]) -> None:
    assert shortest_groups(re.compile(expression)) == shortest
