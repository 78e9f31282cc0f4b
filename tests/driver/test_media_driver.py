from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
import trio
import trio.testing

from bridge.net.media_driver import media_sources
from tests.lab.relay_calls import SLOT_S, RelayCalls


@asynccontextmanager
async def driven(clock: trio.testing.MockClock) -> AsyncIterator[RelayCalls]:
    """Run a relay's tasks, with its calls on trio's time."""
    with RelayCalls(first_port=32400, last_port=32499) as calls:
        calls.clock = clock.current_time
        async with trio.open_nursery() as nursery:
            nursery.start_soon(media_sources(calls.relay).run)
            yield calls
            nursery.cancel_scope.cancel()


async def test_calls_are_sent_for_on_their_grid(autojump_clock: trio.testing.MockClock) -> None:
    async with driven(autojump_clock) as calls:
        _, _, far = calls.connected()
        await trio.sleep(1.0)
        assert len(far.frames) in (50, 51)
        for before, after in pairwise(far.frames[1:]):
            assert after.sent_at - before.sent_at == pytest.approx(SLOT_S, abs=1e-6)


async def test_new_call_is_not_late_for_its_first_slot(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with driven(autojump_clock) as calls:
        for _ in range(20):  # more than a batch, so that a second phase begins to run
            calls.connected()
        await trio.sleep(0.0201)
        first_seen = trio.current_time()
        _, _, far = calls.connected()
        await trio.sleep(SLOT_S)
        assert len(far.frames) == 2
        assert far.frames[1].sent_at - first_seen <= SLOT_S


async def test_calls_from_before_the_start_are_sent_for(
    autojump_clock: trio.testing.MockClock,
) -> None:
    with RelayCalls(first_port=32400, last_port=32499) as calls:
        calls.clock = autojump_clock.current_time
        _, _, far = calls.connected()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(media_sources(calls.relay).run)
            await trio.sleep(0.1)
            nursery.cancel_scope.cancel()
        assert len(far.frames) in (5, 6)


async def test_packet_of_a_call_without_a_clock_is_read_at_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with driven(autojump_clock) as calls:
        phone = calls.phone()
        media = calls.call(phone)
        digits: list[str] = []
        media.on_digit = digits.append
        began_at = trio.current_time()
        phone.send(media, 1, bytes.fromhex("030A00A0"), 101)
        await trio.testing.wait_all_tasks_blocked()
        assert digits == ["3"]
        assert trio.current_time() == began_at


async def test_speech_passes_both_ways(autojump_clock: trio.testing.MockClock) -> None:
    async with driven(autojump_clock) as calls:
        phone, media, far = calls.connected()
        for number in range(1, 51):
            phone.send(media, number, bytes([number]) * 160)
            calls.from_link(far, 20 * number, bytes([number]) * 160)
            await trio.sleep(SLOT_S)
        spoken = [bytes([number]) * 160 for number in range(1, 51)]
        assert [packet.payload for packet in phone.received()] == spoken
        heard = [frame.payload for frame in far.frames]
        assert [payload for payload in heard if payload[0] != 0xFF] == spoken[: len(heard) - 1]


async def test_without_calls_nothing_wakes(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with driven(autojump_clock) as calls:
        _, media, _ = calls.connected()
        await trio.sleep(0.1)
        media.close()
        ticks: list[float] = []
        monkeypatch.setattr(calls.relay, "tick", ticks.append)
        await trio.sleep(3600)
        assert len(ticks) <= 1


async def test_stalled_loop_catches_up_bounded(autojump_clock: trio.testing.MockClock) -> None:
    async with driven(autojump_clock) as calls:
        _, _, far = calls.connected()
        await trio.sleep(0.1)
        sent = len(far.frames)
        autojump_clock.jump(2.0)
        await trio.testing.wait_all_tasks_blocked()
        assert 5 <= len(far.frames) - sent <= 6
