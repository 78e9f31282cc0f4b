"""The lag watch in virtual time: a stall is a clock that jumps while the loop does not run."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from bridge.net.lag_watch import (
    CALM_S,
    LAG_MAX_S,
    LOOK_S,
    REST_S,
    SHORT_MAX_S,
    TRIAL_MAX_S,
    LagWatch,
)

BEGAN = "overload: new calls get 503"
ENDED = "overload is over"


@pytest.fixture
def clock(autojump_clock: trio.testing.MockClock) -> trio.testing.MockClock:
    return autojump_clock


class Work:
    """The CPU time that the process takes: a share of the time that passes."""

    def __init__(self, share: float) -> None:
        self._spent_s, self._since, self._share = 0.0, trio.current_time(), share

    def change(self, share: float) -> None:
        self._spent_s, self._since, self._share = self(), trio.current_time(), share

    def __call__(self) -> float:
        return self._spent_s + self._share * (trio.current_time() - self._since)


@asynccontextmanager
async def working(work: Work, backlog: float = 0.0) -> AsyncIterator[LagWatch]:
    watch = LagWatch(work, lambda: backlog)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch.run)
        await trio.testing.wait_all_tasks_blocked()
        yield watch
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def running(busy: float = 1.0, backlog: float = 0.0) -> AsyncIterator[LagWatch]:
    async with working(Work(busy), backlog) as watch:
        yield watch


async def be_late_twice(clock: trio.testing.MockClock) -> None:
    for _ in range(2):
        clock.jump(LOOK_S + 2 * LAG_MAX_S)
        await trio.testing.wait_all_tasks_blocked()


async def test_a_loop_in_time_is_not_overloaded(clock: trio.testing.MockClock) -> None:
    assert clock.current_time() == 0
    with capture_logs() as logs:
        async with running() as watch:
            for _ in range(20):
                await trio.sleep(LOOK_S / 3)
                assert not watch.is_overloaded()
    assert logs == []


@pytest.mark.parametrize(("late_s", "overloaded"), [(0.09, False), (0.11, True), (5.0, True)])
async def test_late_twice_by_more_than_the_limit(
    clock: trio.testing.MockClock, late_s: float, *, overloaded: bool
) -> None:
    """Whoever asks within the very pass that is late is told, too."""
    async with running() as watch:
        clock.jump(LOOK_S + late_s)
        assert not watch.is_overloaded()
        await trio.testing.wait_all_tasks_blocked()
        clock.jump(LOOK_S + late_s)
        assert watch.is_overloaded() is overloaded
        await trio.testing.wait_all_tasks_blocked()
        assert watch.is_overloaded() is overloaded


async def test_late_once_is_no_overload(clock: trio.testing.MockClock) -> None:
    async with running() as watch:
        for _ in range(3):
            clock.jump(LOOK_S + 5.0)
            assert not watch.is_overloaded()
            assert not watch.is_overloaded()
            await trio.sleep(CALM_S + LOOK_S)
            assert not watch.is_overloaded()


@pytest.mark.parametrize(("busy", "overloaded"), [(0.0, False), (0.29, False), (0.31, True)])
async def test_late_for_others_work_is_no_overload(
    clock: trio.testing.MockClock, busy: float, *, overloaded: bool
) -> None:
    """A machine that gives us no core is not helped by refusing calls."""
    async with running(busy) as watch:
        for _ in range(3):
            clock.jump(LOOK_S + 1)
            await trio.testing.wait_all_tasks_blocked()
        assert watch.is_overloaded() is overloaded


@pytest.mark.parametrize(
    ("busy", "backlog", "overloaded"), [(1.0, 0.49, False), (1.0, 0.51, True), (0.0, 1.0, False)]
)
async def test_half_a_buffer_of_the_link_twice(
    clock: trio.testing.MockClock, busy: float, backlog: float, *, overloaded: bool
) -> None:
    assert clock.current_time() == 0
    async with running(busy, backlog) as watch:
        await trio.sleep(LOOK_S / 2)
        assert not watch.is_overloaded()
        await trio.sleep(LOOK_S)
        assert watch.is_overloaded() is overloaded


async def test_over_when_it_has_been_in_time_for_a_while(clock: trio.testing.MockClock) -> None:
    with capture_logs() as logs:
        async with running(0.7) as watch:
            await be_late_twice(clock)
            await trio.sleep(CALM_S - 0.01)
            assert watch.is_overloaded()
            await trio.sleep(0.02 + LOOK_S)
            assert not watch.is_overloaded()
    assert [entry["event"] for entry in logs] == [BEGAN, ENDED]


@pytest.mark.parametrize(
    ("busy", "late_s", "overloaded"),
    [
        (0.74, 0.0, False),
        (0.76, 0.0, True),
        (0.4, 0.019, False),
        (0.4, 0.021, True),
        (0.2, 0.1, False),
    ],
)
async def test_not_over_before_there_is_time_to_spare(
    clock: trio.testing.MockClock, busy: float, late_s: float, *, overloaded: bool
) -> None:
    """Late for others' work is no overload; but where they are, a smaller share is all there is."""
    work = Work(1.0)
    async with working(work) as watch:
        await be_late_twice(clock)
        work.change(busy)
        for _ in range(20):
            clock.jump(LOOK_S + late_s)
            await trio.testing.wait_all_tasks_blocked()
        assert watch.is_overloaded() is overloaded
        await trio.sleep(CALM_S + LOOK_S)
        assert watch.is_overloaded() is (busy > 0.75)


@pytest.mark.parametrize(("busy", "late_s"), [(0.9, 0.0), (0.4, 0.03)])
async def test_not_for_ever_where_it_is_in_time(
    clock: trio.testing.MockClock, busy: float, late_s: float
) -> None:
    """A load that would be taken, had there been no overload before it, is taken in the end."""
    work = Work(1.0)
    refused_until = 0.0
    async with working(work) as watch:
        await be_late_twice(clock)
        began_at = clock.current_time()
        work.change(busy)
        for _ in range(400):
            clock.jump(LOOK_S + late_s)
            await trio.testing.wait_all_tasks_blocked()
            if watch.is_overloaded():
                refused_until = clock.current_time()
    assert SHORT_MAX_S - 1 < refused_until - began_at < SHORT_MAX_S + CALM_S


async def test_calls_are_taken_on_trial_behind_an_overload(clock: trio.testing.MockClock) -> None:
    """Each trial is twice as long; what the calls of one cost is seen before the next."""
    work = Work(1.0)
    taken_s = [0.0]
    async with working(work) as watch:
        await be_late_twice(clock)
        for _ in range(int(60 / LOOK_S)):
            work.change(0.7 if watch.is_overloaded() else 0.9)
            await trio.sleep(LOOK_S)
            if not watch.is_overloaded():
                taken_s[-1] += LOOK_S
            elif taken_s[-1]:
                taken_s.append(0.0)
    assert taken_s[:6] == pytest.approx([LOOK_S * 2**trial for trial in range(6)], abs=LOOK_S)
    assert taken_s[6] > 2 * TRIAL_MAX_S


async def test_it_has_recovered_when_it_had_time_to_spare_for_a_while(
    clock: trio.testing.MockClock,
) -> None:
    """From then on it may be as busy as it likes, as long as it is in time."""
    work = Work(1.0)
    async with working(work) as watch:
        await be_late_twice(clock)
        work.change(0.5)
        await trio.sleep(CALM_S + TRIAL_MAX_S)
        work.change(0.95)
        for _ in range(200):
            await trio.sleep(LOOK_S)
            assert not watch.is_overloaded()


async def test_a_trial_of_time_to_spare_goes_on(clock: trio.testing.MockClock) -> None:
    work = Work(1.0)
    async with working(work) as watch:
        await be_late_twice(clock)
        work.change(0.5)
        await trio.sleep(CALM_S + LOOK_S)
        for _ in range(200):
            await trio.sleep(LOOK_S)
            assert not watch.is_overloaded()


async def test_a_long_overload_is_logged_once(clock: trio.testing.MockClock) -> None:
    with capture_logs() as logs:
        async with running() as watch:
            for count in range(30):
                clock.jump(LOOK_S + 2 * LAG_MAX_S)
                assert watch.is_overloaded() is (count > 0)
                await trio.testing.wait_all_tasks_blocked()
    assert [entry["event"] for entry in logs] == [BEGAN]


async def test_it_rests_while_nobody_asks_and_little_is_done(
    clock: trio.testing.MockClock,
) -> None:
    assert clock.current_time() == 0
    looks: list[float] = []

    def backlog() -> float:
        looks.append(trio.current_time())
        return 0.0

    watch = LagWatch(lambda: 0.0, backlog)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch.run)
        await trio.sleep(LOOK_S + 2.5 * REST_S)
        assert len(looks) == 3
        watch.is_overloaded()
        await trio.sleep(3 * LOOK_S)
        assert len(looks) == 6
        nursery.cancel_scope.cancel()


async def test_whoever_asks_ends_its_rest(clock: trio.testing.MockClock) -> None:
    spent = 0.0
    watch = LagWatch(lambda: spent)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch.run)
        await trio.sleep(10 * REST_S)
        for is_overloaded in (False, False, True):
            assert watch.is_overloaded() is is_overloaded
            await trio.testing.wait_all_tasks_blocked()
            clock.jump(LOOK_S + 2 * LAG_MAX_S)
            spent += LOOK_S
        nursery.cancel_scope.cancel()


async def test_not_overloaded_before_it_runs() -> None:
    assert not LagWatch().is_overloaded()
