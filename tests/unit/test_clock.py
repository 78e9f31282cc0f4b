"""The peer's time as its timestamps show it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.iax2.clock import MINI_MODULUS, TIMESTAMP_MODULUS, ReceiveClock

TIMESTAMPS = st.integers(0, TIMESTAMP_MODULUS - 1)
NOWS = st.integers(0, 10**7).map(float)
WITHIN_A_WINDOW_MS = st.integers(-30_000, 30_000)


def clock(timestamp_ms: int = 0, now: float = 1000.0) -> ReceiveClock:
    clock = ReceiveClock()
    clock.set(timestamp_ms, now)
    return clock


def test_a_clock_knows_nothing_at_first() -> None:
    clock = ReceiveClock()
    assert not clock.is_set
    assert clock.expected_ms(1000.0) == 0
    clock.follow(500)
    assert not clock.is_set


@given(TIMESTAMPS, NOWS, st.integers(0, 10**6))
def test_time_passes_there_as_here(timestamp_ms: int, now: float, seconds: int) -> None:
    expected_ms = clock(timestamp_ms, now).expected_ms(now + seconds)
    assert expected_ms == (timestamp_ms + seconds * 1000) % TIMESTAMP_MODULUS


@given(TIMESTAMPS, NOWS, WITHIN_A_WINDOW_MS)
def test_a_deviation_is_signed_and_knows_no_wrap(
    timestamp_ms: int, now: float, deviation_ms: int
) -> None:
    stamped_ms = (timestamp_ms + deviation_ms) % TIMESTAMP_MODULUS
    assert clock(timestamp_ms, now).deviation_ms(stamped_ms, now) == deviation_ms


@given(TIMESTAMPS, NOWS, WITHIN_A_WINDOW_MS)
def test_sixteen_bits_become_the_nearest_thirty_two(
    timestamp_ms: int, now: float, deviation_ms: int
) -> None:
    stamped_ms = (timestamp_ms + deviation_ms) % TIMESTAMP_MODULUS
    unwrapped = clock(timestamp_ms, now).unwrap(stamped_ms % MINI_MODULUS, now)
    assert unwrapped == (stamped_ms, deviation_ms)


@pytest.mark.parametrize("wrap_ms", [MINI_MODULUS, TIMESTAMP_MODULUS])
def test_a_minute_across_a_wrap(wrap_ms: int) -> None:
    start_ms = wrap_ms - 30_000
    sender = clock(start_ms)
    for elapsed_ms in range(0, 60_000, 20):
        stamped_ms = (start_ms + elapsed_ms) % TIMESTAMP_MODULUS
        unwrapped_ms, deviation_ms = sender.unwrap(
            stamped_ms % MINI_MODULUS, 1000 + elapsed_ms / 1000
        )
        assert unwrapped_ms == stamped_ms
        assert abs(deviation_ms) <= 1


@pytest.mark.parametrize("drift", [200e-6, -200e-6])
def test_a_drift_is_followed_for_a_day(drift: float) -> None:
    follower = clock()
    for second in range(0, 86_400, 10):
        stamped_ms = int(second * 1000 * (1 + drift)) % TIMESTAMP_MODULUS
        _, deviation_ms = follower.unwrap(stamped_ms % MINI_MODULUS, 1000.0 + second)
        assert abs(deviation_ms) < 100
        follower.follow(deviation_ms)


@pytest.mark.parametrize("deviation_ms", [800, -800])
def test_one_frame_out_of_its_time_corrects_little(deviation_ms: int) -> None:
    follower = clock()
    follower.follow(deviation_ms)
    assert follower.expected_ms(1000.0 + 1) - 1000 == deviation_ms // 16


def test_nothing_arrives_before_it_was_sent() -> None:
    """A timestamp ahead of its time is the peer's time at least; one behind may just be late."""
    listener = ReceiveClock()
    listener.hear(5000, 1000.0)
    assert listener.expected_ms(1000.0) == 5000
    listener.hear(4000, 1000.0)
    assert listener.expected_ms(1000.0) == 5000
    listener.hear(7500, 1001.0)
    assert listener.expected_ms(1001.0) == 7500
