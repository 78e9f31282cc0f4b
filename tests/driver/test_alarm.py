"""The alarm in virtual time: rings once for each deadline, which may move while it sleeps."""

import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from bridge.net.alarm import Alarm


class Bell:
    """Takes down when it rang; `then` may set the next deadline, as users of an alarm do."""

    def __init__(self) -> None:
        self.rang_at: list[float] = []
        self.then: Callable[[], None] = lambda: None

    def __call__(self, now: float) -> None:
        self.rang_at.append(now)
        self.then()


@asynccontextmanager
async def running(alarm: Alarm) -> AsyncIterator[Bell]:
    bell = Bell()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(alarm.run, bell)
        await trio.testing.wait_all_tasks_blocked()
        yield bell
        nursery.cancel_scope.cancel()


@pytest.fixture
def clock(autojump_clock: trio.testing.MockClock) -> trio.testing.MockClock:
    return autojump_clock


@pytest.mark.parametrize("later", [True, False])
@pytest.mark.parametrize("before_it_runs", [True, False])
async def test_rings_at_its_deadline(
    clock: trio.testing.MockClock, *, before_it_runs: bool, later: bool
) -> None:
    alarm = Alarm()
    start = clock.current_time()

    def put() -> None:
        if later:
            alarm.set_later(lambda: start + 5)
        else:
            alarm.set(start + 5)

    if before_it_runs:
        put()
    async with running(alarm) as bell:
        if not before_it_runs:
            put()
        await trio.sleep(100)
    assert bell.rang_at == [start + 5]


@pytest.mark.parametrize("to", [2.0, 8.0])
async def test_deadline_moves_while_it_sleeps(clock: trio.testing.MockClock, to: float) -> None:
    alarm = Alarm()
    start = clock.current_time()
    async with running(alarm) as bell:
        alarm.set(start + 5)
        await trio.sleep(1)
        alarm.set(start + to)
        await trio.sleep(100)
    assert bell.rang_at == [start + to]


def test_a_deadline_left_for_later_is_asked_for_once() -> None:
    alarm, asked = Alarm(), list[float]()

    def ask() -> float:
        asked.append(7.0)
        return 7.0

    for _ in range(3):
        alarm.set_later(ask)
    assert alarm.deadline == math.inf
    assert (alarm.settle(), alarm.settle(), asked) == (7.0, 7.0, [7.0])


def test_a_deadline_set_at_once_is_not_asked_for_any_more() -> None:
    alarm = Alarm()
    alarm.set_later(lambda: 7.0)
    alarm.set(8.0)
    assert alarm.settle() == 8.0


async def test_without_a_deadline_it_sleeps(clock: trio.testing.MockClock) -> None:
    alarm = Alarm()
    async with running(alarm) as bell:
        alarm.set(clock.current_time() + 5)
        alarm.set(None)
        await trio.sleep(100)
    assert not bell.rang_at


async def test_deadline_that_has_passed_rings_at_once(clock: trio.testing.MockClock) -> None:
    alarm = Alarm()
    start = clock.current_time()
    async with running(alarm) as bell:
        alarm.set(start - 1)
        await trio.sleep(100)
    assert bell.rang_at == [start]


async def test_who_rings_sets_the_next_one(clock: trio.testing.MockClock) -> None:
    alarm = Alarm()
    start = clock.current_time()
    async with running(alarm) as bell:
        bell.then = lambda: alarm.set(bell.rang_at[-1] + 2 if len(bell.rang_at) < 4 else None)
        alarm.set(start + 1)
        await trio.sleep(100)
    assert bell.rang_at == [start + 1, start + 3, start + 5, start + 7]


async def test_who_rings_may_ask_for_the_past(clock: trio.testing.MockClock) -> None:
    alarm = Alarm()
    start = clock.current_time()
    async with running(alarm) as bell:
        bell.then = lambda: alarm.set(start if len(bell.rang_at) < 3 else math.inf)
        alarm.set(start)
        await trio.sleep(1)
    assert bell.rang_at == [start] * 3


async def test_deadline_set_just_as_another_comes_is_not_lost(
    clock: trio.testing.MockClock,
) -> None:
    """Both tasks wake at the same time, and the one that sets may run first."""
    alarm = Alarm()
    start = clock.current_time()
    async with running(alarm) as bell:

        def keep() -> None:
            alarm.set(start + 9 if clock.current_time() < start + 9 else None)

        bell.then = keep
        alarm.set(start + 5)
        for _ in range(20):
            await trio.sleep_until(start + 5)
            alarm.set(start + 9)
        await trio.sleep(100)
    assert bell.rang_at[-1] == start + 9
    assert set(bell.rang_at) <= {start + 5, start + 9}


async def test_an_error_of_who_rings_is_not_swallowed(clock: trio.testing.MockClock) -> None:
    alarm = Alarm()
    alarm.set(clock.current_time())

    def broken(_now: float) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await alarm.run(broken)


async def test_it_can_be_cancelled(clock: trio.testing.MockClock) -> None:
    alarm = Alarm()
    with trio.move_on_after(1) as scope:
        await alarm.run(lambda _now: None)
    assert scope.cancelled_caught
    alarm.set(clock.current_time() + 1)
