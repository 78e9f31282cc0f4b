"""Who keeps failing waits longer and longer, by source, in a bounded memory."""

import pytest

from bridge.sip.penalties import Penalties, source_of

HOST = "192.0.2.7"


def test_three_are_free_then_each_failure_doubles_the_wait_up_to_16_s() -> None:
    penalties = Penalties()
    assert [penalties.fail(HOST, 0.0) for _ in range(10)] == [0, 0, 0, 1, 2, 4, 8, 16, 16, 16]
    assert penalties.wait_s(HOST, 4.0) == 12
    assert penalties.wait_s(HOST, 16.0) == 0
    assert penalties.wait_s("192.0.2.8", 0.0) == 0


def test_a_failure_a_minute_is_forgiven() -> None:
    penalties = Penalties()
    assert {penalties.fail(HOST, minute * 60.0) for minute in range(20)} == {0}


def test_a_network_of_one_host_is_one_source() -> None:
    penalties = Penalties()
    for number in range(4):
        penalties.fail(f"2001:db8::{number}", 0.0)
    assert penalties.wait_s("2001:db8::99", 0.0) == 1
    assert penalties.wait_s("2001:db8:0:1::1", 0.0) == 0


@pytest.mark.parametrize(
    ("host", "source"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_sources(host: str, source: str) -> None:
    assert source_of(host) == source


def test_memory_is_bounded() -> None:
    penalties = Penalties(sources_max=10)
    for number in range(100):
        penalties.fail(f"192.0.2.{number}", 0.0)
    assert len(penalties) == 10
