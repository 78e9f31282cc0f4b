"""A limit that lets a burst through, and then so many a second."""

from bridge.iax2.rate import RateLimit


def test_a_burst_and_no_more() -> None:
    limit = RateLimit(10, 5)
    assert [limit.allows(1000.0) for _ in range(7)] == 5 * [True] + 2 * [False]


def test_so_many_a_second() -> None:
    limit = RateLimit(10, 5)
    allowed = sum(limit.allows(1000 + step / 1000) for step in range(10_000))
    assert 104 <= allowed <= 105


def test_a_pause_saves_up_one_burst_and_no_more() -> None:
    limit = RateLimit(10, 5)
    assert limit.allows(1000.0)
    assert sum(limit.allows(2000.0) for _ in range(20)) == 5
