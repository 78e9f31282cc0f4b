"""Token buckets before Python, as the wheel of pjsua2 has them, in a time of their own."""

from collections import Counter

import pjsua2 as pj
import pytest
from hypothesis import given
from hypothesis import strategies as st

A_PHONE = "198.51.100.7"
ANOTHER_PHONE = "198.51.100.8"


def limiter(
    per_source: float = 20, total: float = 300, max_sources: int = 4096
) -> "pj.RequestLimiter":
    """One whose bursts are a second's worth."""
    limits = pj.RequestLimits()
    limits.perSource = limits.perSourceBurst = per_source
    limits.total = limits.totalBurst = total
    limits.maxSources = max_sources
    return pj.RequestLimiter(limits)


def admitted(buckets: "pj.RequestLimiter", address: str, requests: int, now_s: float = 0) -> int:
    return sum(buckets.admit(address, now_s) for _ in range(requests))


def test_the_defaults_are_20_a_second_of_one_source_and_300_in_all() -> None:
    buckets = pj.RequestLimiter()
    assert admitted(buckets, A_PHONE, 100) == 20
    assert sum(buckets.admit(f"203.0.113.{i}", 0) for i in range(256)) == 256
    assert sum(buckets.admit(f"192.0.2.{i}", 0) for i in range(256)) == 24


def test_a_source_gets_its_rate_back_as_time_passes_and_never_more_than_its_burst() -> None:
    buckets = limiter()
    assert admitted(buckets, A_PHONE, 100, now_s=0) == 20
    assert admitted(buckets, A_PHONE, 100, now_s=0.25) == 5
    assert admitted(buckets, A_PHONE, 100, now_s=1000) == 20


def test_a_clock_that_steps_back_gives_nothing() -> None:
    buckets = limiter()
    admitted(buckets, A_PHONE, 20, now_s=10)
    assert admitted(buckets, A_PHONE, 100, now_s=9) == 0


def test_one_flooder_does_not_use_up_what_all_share() -> None:
    buckets = limiter(per_source=20, total=21)
    admitted(buckets, A_PHONE, 10_000)
    assert buckets.admit(ANOTHER_PHONE, 0)


def test_all_sources_together_are_limited() -> None:
    buckets = limiter(total=50)
    assert sum(buckets.admit(f"192.0.2.{i}", 0) for i in range(100)) == 50
    counters = buckets.counters()
    assert (counters.admitted, counters.droppedByTotal, counters.droppedBySource) == (50, 50, 0)


def test_an_ipv6_64_is_one_source() -> None:
    buckets = limiter()
    assert sum(buckets.admit(f"2001:db8:0:1::{i:x}", 0) for i in range(100)) == 20
    assert buckets.admit("2001:db8:0:2::1", 0)
    assert buckets.counters().sources == 2


def test_ipv4_in_ipv6_clothes_is_ipv4() -> None:
    buckets = limiter()
    admitted(buckets, A_PHONE, 20)
    assert not buckets.admit(f"::ffff:{A_PHONE}", 0)


@pytest.mark.parametrize(
    ("network", "inside", "outside"),
    [
        ("192.0.2.0/24", "192.0.2.255", "192.0.3.0"),
        ("192.0.2.128/25", "192.0.2.128", "192.0.2.127"),
        ("192.0.2.77", "192.0.2.77", "192.0.2.76"),
        ("192.0.2.0/24", "::ffff:192.0.2.1", "2001:db8::1"),
        ("2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::1"),
        ("::1/128", "::1", "::2"),
    ],
)
def test_exempt_networks_pass_without_touching_a_bucket(
    network: str, inside: str, outside: str
) -> None:
    buckets = limiter(per_source=1, total=1)
    buckets.exempt(network)
    assert admitted(buckets, inside, 100) == 100
    assert admitted(buckets, outside, 100) == 1
    assert buckets.counters().exempt == 100


def test_exemptions_can_be_taken_back() -> None:
    buckets = limiter(per_source=1)
    buckets.exempt("0.0.0.0/0")
    buckets.clearExempt()
    assert admitted(buckets, A_PHONE, 10) == 1


def test_the_table_of_sources_is_bounded_and_forgets_the_longest_unheard() -> None:
    buckets = limiter(per_source=1, total=1e9, max_sources=3)
    for address in ("192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.1", "192.0.2.4"):
        buckets.admit(address, 0)
    assert buckets.counters().sources == 3
    assert not buckets.admit("192.0.2.1", 0)
    assert buckets.admit("192.0.2.2", 0)


@pytest.mark.parametrize(
    "network",
    [
        "",
        "x",
        "/8",
        "192.0.2",
        "192.0.2.0/",
        "192.0.2.0/33",
        "192.0.2.0/-1",
        "192.0.2.0/2 ",
        "::/129",
    ],
)
def test_what_is_no_network_is_refused(network: str) -> None:
    with pytest.raises(pj.Error):
        limiter().exempt(network)


@pytest.mark.parametrize("field", ["perSource", "perSourceBurst", "total", "totalBurst"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_limits_that_are_no_positive_numbers_are_refused(field: str, value: float) -> None:
    limits = pj.RequestLimits()
    setattr(limits, field, value)
    with pytest.raises(pj.Error):
        pj.RequestLimiter(limits)


ARRIVALS = st.lists(st.tuples(st.integers(0, 9), st.floats(0, 0.2)), max_size=200)


@given(arrivals=ARRIVALS)
def test_nobody_ever_gets_more_than_burst_and_rate(arrivals: list[tuple[int, float]]) -> None:
    buckets = limiter(per_source=5, total=20)
    now_s, passed = 0.0, Counter[int]()
    for source, pause_s in arrivals:
        now_s += pause_s
        passed[source] += buckets.admit(f"192.0.2.{source}", now_s)
    counters = buckets.counters()
    assert all(count <= 5 + 5 * now_s + 1e-6 for count in passed.values())
    assert passed.total() <= 20 + 20 * now_s + 1e-6
    assert counters.admitted == passed.total()
    assert counters.admitted + counters.droppedBySource + counters.droppedByTotal == len(arrivals)


def test_strangers_do_not_lock_out_whom_we_trust() -> None:
    buckets = limiter(per_source=5, total=10)
    assert buckets.trust(A_PHONE)
    for number in range(100):
        buckets.admit(f"192.0.2.{number}", 0)
    assert admitted(buckets, A_PHONE, 100) == 5
    assert not buckets.admit(ANOTHER_PHONE, 0)
    buckets.distrust(A_PHONE)
    assert admitted(buckets, A_PHONE, 100, now_s=0.01) == 0


def test_trust_is_bounded() -> None:
    limits = pj.RequestLimits()
    limits.maxTrusted = 2
    buckets = pj.RequestLimiter(limits)
    assert [buckets.trust(f"192.0.2.{number}") for number in (1, 2, 3, 2)] == [
        True,
        True,
        False,
        True,
    ]
    assert buckets.counters().trusted == 2
    buckets.distrust("192.0.2.1")
    assert buckets.trust("192.0.2.3")


@pytest.mark.parametrize("address", ["", "phone", "192.0.2.1/24"])
def test_only_an_address_can_be_trusted(address: str) -> None:
    buckets = pj.RequestLimiter()
    with pytest.raises(pj.Error):
        buckets.trust(address)
    with pytest.raises(pj.Error):
        buckets.distrust(address)
