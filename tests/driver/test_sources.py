"""Waiting in trio's idle time: what is waited for is served, and no other task is held up."""

import math
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
import trio

from bridge.errors import BridgeError
from bridge.net import sources
from bridge.net.alarm import Alarm
from bridge.net.sources import Sources

WITHIN_S = 5.0
NEVER = Sources({}, ((Alarm(), lambda _now: None),))


@asynccontextmanager
async def serving(served: Sources) -> AsyncIterator[None]:
    """Serve sources in idle time; nothing in here may take longer than `WITHIN_S`."""
    with trio.fail_after(WITHIN_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(served.run_in_idle_time)
            yield
            nursery.cancel_scope.cancel()


def reader(received: socket.socket, event: trio.Event) -> Callable[[float], object]:
    def read(_now: float) -> None:
        received.recv(16)
        event.set()

    return read


async def test_readable_descriptor_is_handled_and_its_waiter_woken() -> None:
    near, far = socket.socketpair()
    with near, far:
        came = trio.Event()
        async with serving(Sources({near.fileno(): reader(near, came)}, NEVER.alarms)):
            far.send(b"x")
            await came.wait()


async def test_it_waits_where_nothing_has_a_deadline() -> None:
    """As at the start, while threads read what the phones registered, and no link has a peer."""
    near, far = socket.socketpair()
    with near, far:
        came = trio.Event()
        async with trio.open_nursery() as nursery:
            served = Sources({near.fileno(): reader(near, came)}, NEVER.alarms)
            nursery.start_soon(served.run_in_idle_time)
            far.send(b"x")
            await came.wait()
            nursery.cancel_scope.cancel()


async def test_alarm_rings_at_its_time_and_is_set_anew_by_what_it_rings() -> None:
    alarm, rung, done = Alarm(), list[float](), trio.Event()

    def ring(now: float) -> None:
        assert alarm.deadline == math.inf
        rung.append(now)
        if len(rung) == 3:
            done.set()
        else:
            alarm.set(now + 0.001)

    due_at = trio.current_time()
    alarm.set(due_at)
    async with serving(Sources({}, ((alarm, ring),))):
        await done.wait()
    assert rung[0] >= due_at
    assert all(after - before >= 0.001 for before, after in pairwise(rung))


async def test_alarm_that_is_set_later_rings_at_its_time() -> None:
    near, far = socket.socketpair()
    with near, far:
        alarm, rung = Alarm(), trio.Event()

        def read(now: float) -> None:
            near.recv(16)
            alarm.set_later(lambda: now + 0.001)

        async with serving(Sources({near.fileno(): read}, ((alarm, lambda _now: rung.set()),))):
            far.send(b"x")
            await rung.wait()


async def test_other_tasks_keep_their_descriptors_deadlines_and_threads() -> None:
    near, far = socket.socketpair()
    with near, far:
        async with serving(NEVER):
            far.send(b"x")
            await trio.lowlevel.wait_readable(near)
            with trio.move_on_after(0.001):
                await trio.sleep_forever()
            assert await trio.to_thread.run_sync(lambda: 7) == 7


@pytest.mark.parametrize("later", [True, False])
async def test_a_busy_loop_does_not_hold_up_the_alarm(*, later: bool) -> None:
    alarm, rung = Alarm(), trio.Event()
    if later:
        alarm.set_later(trio.current_time)
    else:
        alarm.set(trio.current_time())
    async with serving(Sources({}, ((alarm, lambda _now: rung.set()),))):
        while not rung.is_set():
            await trio.lowlevel.checkpoint()


async def test_sources_can_be_joined() -> None:
    near, far = socket.socketpair()
    with near, far:
        came, alarm, rung = trio.Event(), Alarm(), trio.Event()
        alarm.set(trio.current_time())
        first = Sources({near.fileno(): reader(near, came)}, ())
        async with serving(first.joined(Sources({}, ((alarm, lambda _now: rung.set()),)))):
            far.send(b"x")
            await came.wait()
            await rung.wait()


async def test_each_pass_is_within_what_is_to_be_around_it() -> None:
    near, far = socket.socketpair()
    with near, far:
        came, told = trio.Event(), list[str]()

        class Around:
            def __enter__(self) -> None:
                told.append("in")

            def __exit__(self, *_: object) -> None:
                told.append("out")

        def read(_now: float) -> None:
            near.recv(16)
            told.append("read")
            came.set()

        served = Sources({near.fileno(): read}, NEVER.alarms)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(served.run_in_idle_time, Around())
            far.send(b"x")
            await came.wait()
            nursery.cancel_scope.cancel()
    at = told.index("read")
    assert told[at - 1 : at + 2] == ["in", "read", "out"]


async def test_without_epoll_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "_epoll_watching", lambda _descriptor: None)
    with pytest.raises(BridgeError, match="Linux"):
        await NEVER.run_in_idle_time()
