"""The IAX2 socket and the engine behind it: the drain, its time, stalls, and peers."""

import math
from contextlib import suppress

import pytest
import structlog.testing
import trio

from bridge.iax2 import (
    CallAnswered,
    CalleeCall,
    CallEnded,
    Event,
    Format,
    IncomingCall,
    PeerEvent,
    Reachability,
    ReachabilityChanged,
)
from bridge.net.link_socket import ASK_AGAIN_S, CATCH_UP_S, DATAGRAMS_PER_PASS_MAX, LinkSocket
from tests.driver.link_sides import (
    WITHIN_S,
    Side,
    all_acknowledged,
    answered,
    pair,
    place,
    plain_socket,
    running,
)


def waiting(link: LinkSocket) -> bytes | None:
    """Take what has arrived at a socket past its engine, if anything has."""
    with suppress(BlockingIOError):
        return link._socket.recv(2048)
    return None


class TestEngine:
    async def test_call_is_set_up_and_ended(self) -> None:
        near, far = pair()
        async with running(near, far):
            call = await answered(near, far)
            call.hang_up(trio.current_time())
            near.link.drain()
            with trio.fail_after(WITHIN_S):
                while near.endpoint.live_calls or far.endpoint.live_calls:  # noqa: ASYNC110
                    await trio.sleep(0.005)

    async def test_engine_is_told_the_time(self) -> None:
        """A lost NEW is sent again by the alarm alone."""
        near, far = pair()
        async with running(near):
            with plain_socket() as silent:
                place(near, silent.getsockname())
                first = silent.recv(2048)
                silent.settimeout(0)
                with trio.fail_after(WITHIN_S):
                    await trio.lowlevel.wait_readable(silent)
                again = silent.recv(2048)
        assert first[2] & 0x80 == 0
        assert again[2] & 0x80
        far.link.close()

    @pytest.mark.parametrize(
        ("late_s", "ahead", "again"),
        [(0.0, 0, True), (1.0, 0, False), (1.0, 2 * DATAGRAMS_PER_PASS_MAX, False)],
    )
    async def test_after_a_stall_what_has_arrived_comes_before_what_is_sent_again(
        self, late_s: float, ahead: int, *, again: bool
    ) -> None:
        """However much it is."""
        near, far = pair()
        place(near, far.link.address)
        with plain_socket() as other:
            for _ in range(ahead):
                other.sendto(bytes(12), near.link.address)
        far.link._receive(trio.current_time())  # which answers the NEW
        due = near.endpoint.next_timeout()
        assert due is not None
        near.link._on_alarm(due + late_s)
        sent: list[bytes] = []
        while (datagram := waiting(far.link)) is not None:
            sent.append(datagram)
        assert [bool(datagram[2] & 0x80) for datagram in sent] == [again]
        near.link.close()
        far.link.close()

    async def test_a_flood_after_a_stall_holds_up_audio_for_a_time_only(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        near, far = pair()
        place(near, far.link.address)
        seen: list[bytes] = []
        started_at = trio.current_time()
        with plain_socket() as other:
            for _ in range(8 * DATAGRAMS_PER_PASS_MAX):
                other.sendto(b"\x80" + bytes(11), near.link.address)
        with monkeypatch.context() as costly:
            costly.setattr(near.endpoint, "receive_datagram", lambda data, *_: seen.append(data))
            costly.setattr(near.link, "_clock", lambda: started_at + len(seen) * 1e-4)
            near.link._on_alarm(started_at + 10)
        assert CATCH_UP_S <= len(seen) * 1e-4 <= CATCH_UP_S + DATAGRAMS_PER_PASS_MAX * 1e-4
        near.link.close()
        far.link.close()

    async def test_an_acknowledgement_alone_moves_the_alarm(self) -> None:
        """It tells nothing, and nothing is to be sent again any more."""
        near, far = pair()
        async with running(near, far):
            call = await answered(near, far)
            await all_acknowledged(call)
            call.send_cng(trio.current_time())
            near.link.drain()
            again_at = near.link._alarm.settle()
            await all_acknowledged(call)
            await trio.lowlevel.checkpoint()
            assert near.link._alarm.settle() > again_at + 1

    async def test_an_error_of_the_engine_about_its_time_is_contained(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is asked for outside of all calls, where an error would end the service."""

        def broken() -> float:
            raise ZeroDivisionError

        near, far = pair()
        async with running(near, far):
            call = await answered(near, far)
            with monkeypatch.context() as failing:
                failing.setattr(near.endpoint, "next_timeout", broken)
                since = trio.current_time()
                near.link.drain()
                assert since + ASK_AGAIN_S <= near.link._alarm.settle() < math.inf
            call.send_cng(trio.current_time())
            near.link.drain()
            await all_acknowledged(call)

    async def test_drain_within_an_event_is_left_to_the_one_that_runs(self) -> None:
        """What an event makes us send leaves; no event is told within another."""
        near, far = pair()
        depth: list[int] = []
        deepest: list[int] = []

        def act(event: Event, now: float) -> None:
            depth.append(1)
            deepest.append(len(depth))
            if isinstance(event, CallAnswered):
                event.call.send_digit("5", now)
                near.link.drain()
                event.call.hang_up(now)
                near.link.drain()
            depth.pop()

        near.events.act = act
        async with running(near, far):
            place(near, far.link.address)
            with trio.fail_after(WITHIN_S):
                while not near.events.told or near.endpoint.live_calls:  # noqa: ASYNC110
                    await trio.sleep(0.005)
        assert set(deepest) == {1}

    async def test_events_are_told_before_the_next_datagram_is_taken(self) -> None:
        """Else voice behind an ANSWER, or a HANGUP, would overtake what the ANSWER sets up."""
        near, far = pair()
        live: list[bool] = []
        near.events.act = lambda event, _now: (
            live.append(bool(near.endpoint.live_calls)) if isinstance(event, CallAnswered) else None
        )

        def answer_and_hang_up(event: Event, now: float) -> None:
            if isinstance(event, IncomingCall) and isinstance(event.call, CalleeCall):
                event.call.accept(Format.ULAW, now)
                event.call.answer(now)
                event.call.hang_up(now)

        far.events.act = answer_and_hang_up
        async with running(near, far):
            place(near, far.link.address)
            await near.events.came(CallAnswered)
        assert live == [True]

    async def test_error_in_an_event_takes_no_other_event_with_it(self) -> None:
        near, far = pair()

        def broken(_event: Event, _now: float) -> None:
            raise ZeroDivisionError

        near.events.act = broken
        for call in (place(near, far.link.address), place(near, far.link.address)):
            call.hang_up(trio.current_time())
        with structlog.testing.capture_logs() as logs:
            near.link.drain()
        assert [type(event) for event in near.events.told] == [CallEnded, CallEnded]
        assert [entry["log_level"] for entry in logs] == ["error", "error"]
        near.link.close()
        far.link.close()

    @pytest.mark.parametrize("method", ["receive_datagram", "handle_timeout"])
    async def test_error_of_the_engine_does_not_end_the_service(
        self, monkeypatch: pytest.MonkeyPatch, method: str
    ) -> None:
        near, far = pair()
        real = getattr(near.endpoint, method)
        broke: list[int] = []

        def broken(*arguments: object) -> None:
            if not broke:
                broke.append(1)
                raise ZeroDivisionError
            real(*arguments)

        monkeypatch.setattr(near.endpoint, method, broken)
        with structlog.testing.capture_logs() as logs:
            async with running(near, far):
                await answered(near, far)
                near.link._alarm.set(0)
                with trio.fail_after(WITHIN_S):
                    while not broke:  # noqa: ASYNC110
                        await trio.sleep(0.005)
        assert [entry["log_level"] for entry in logs] == ["error"]


class TestPeers:
    @pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
    async def test_what_is_told_of_a_peer_is_handed_on(self, host: str) -> None:
        near, far = Side(bind=(host, 0)), Side(bind=(host, 0))
        told: list[PeerEvent] = []
        news = trio.Event()

        def take(event: PeerEvent, _now: float) -> None:
            told.append(event)
            news.set()

        near.link.close()
        near.link = LinkSocket((host, 0), near.endpoint, near.voice, near.events, take)
        async with running(near, far):
            now = trio.current_time()
            near.endpoint.peers.qualify("hq", now).move_to(far.link.address, now)
            near.link.drain()
            with trio.fail_after(WITHIN_S):
                await news.wait()
        (event,) = told
        assert isinstance(event, ReachabilityChanged)
        assert event.qualification.reachability is Reachability.REACHABLE
        assert not near.events.told

    async def test_who_does_not_ask_is_not_told(self) -> None:
        near, far = Side(), Side()
        async with running(near, far):
            now = trio.current_time()
            qualifier = near.endpoint.peers.qualify("hq", now)
            qualifier.move_to(far.link.address, now)
            near.link.drain()
            with trio.fail_after(WITHIN_S):
                while not qualifier.seen.pongs:  # noqa: ASYNC110
                    await trio.sleep(0.005)
        assert near.endpoint.peers.poll_event() is None
