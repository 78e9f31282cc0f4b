"""The deadlines of one call."""

from bridge.iax2 import timers
from bridge.iax2.timers import Timer, Timers

START = 1000.0


def test_nothing_runs_at_first() -> None:
    waiting = Timers()
    assert waiting.next_at is None
    assert waiting.pop_expired(START) is None


def test_timers_run_out_in_their_order() -> None:
    waiting = Timers()
    waiting.start(Timer.PING, START + 21)
    waiting.start(Timer.SETUP, START + 8)
    waiting.start(Timer.LAGRQ, START + 10)
    assert waiting.next_at == START + 8
    assert waiting.pop_expired(START + 7.9) is None
    popped = [waiting.pop_expired(START + 21) for _ in range(4)]
    assert popped == [Timer.SETUP, Timer.LAGRQ, Timer.PING, None]
    assert waiting.next_at is None


def test_a_timer_that_is_started_again_has_one_deadline() -> None:
    waiting = Timers()
    waiting.start(Timer.PING, START + 5)
    waiting.start(Timer.PING, START + 9)
    assert waiting.pop_expired(START + 8) is None
    assert waiting.pop_expired(START + 9) is Timer.PING
    assert waiting.pop_expired(START + 9) is None


def test_timers_can_be_stopped() -> None:
    waiting = Timers()
    for timer in Timer:
        waiting.start(timer, START)
    waiting.stop(Timer.SETUP)
    waiting.stop(Timer.SETUP)
    assert waiting.pop_expired(START) is not Timer.SETUP
    waiting.stop_all()
    assert waiting.next_at is None


def test_durations_are_the_documented_ones() -> None:
    assert (timers.RETRANSMISSION_FIRST_S, timers.RETRANSMISSIONS_MAX) == (0.5, 4)
    assert (timers.SETUP_S, timers.AUTHENTICATION_S) == (8.0, 5.0)
    assert (timers.PING_INTERVAL_S, timers.LAGRQ_INTERVAL_S) == (21.0, 10.0)
    assert (timers.LINGER_S, timers.CALL_NUMBER_QUARANTINE_S) == (10.0, 60.0)
