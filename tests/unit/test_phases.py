"""The one move of a call: to a slot close behind its phone's packets, the same for every phone."""

import math
from collections.abc import Iterator
from itertools import pairwise

import pytest

from bridge.iax2.constants import Format
from bridge.media.call_media import CallMedia
from bridge.media.pacing import BATCH_CALLS
from bridge.media.phases import Phases
from bridge.media.sources import ContinuousTone
from tests.lab.relay_calls import (
    SLOT_S,
    ULAW_SILENCE,
    FarEnd,
    LinkFrame,
    Phone,
    RelayCalls,
    remote_of,
    speech,
)

SETTLES_AFTER_S = 1.0
CLOSE_S = 0.0035, 0.0135
UNREAD_S = 0.003


def _failing(*_: object) -> None:
    raise RuntimeError("a bug")


def _just_behind(_media: CallMedia, slot_at: float) -> float:
    return slot_at - SLOT_S + 0.0005


@pytest.fixture
def calls() -> Iterator[RelayCalls]:
    with RelayCalls() as calls:
        yield calls


def run(calls: RelayCalls, seconds: float, phone: Phone, media: CallMedia, offset_s: float) -> None:
    """Let a phone send each 20 ms, so long behind each of them, and read it when it arrives."""
    end, number = calls.now + seconds, math.ceil((calls.now - offset_s) / SLOT_S - 1e-6)
    while (arrives_at := number * SLOT_S + offset_s) < end:
        calls.run(max(arrives_at - calls.now, 0))
        phone.send(media, number & 0xFFFF, speech(number))
        calls.relay.rtp_readable(calls.now)
        number += 1


def run_late(
    calls: RelayCalls,
    seconds: float,
    talking: tuple[Phone, CallMedia],
    offset_s: float,
    late_s: float = 0.0,
) -> None:
    """As `run`, but each wake-up for a slot is late; what has come just before it is not read."""
    phone, media = talking
    end, number = calls.now + seconds, round(calls.now / SLOT_S)
    while calls.now < end:
        tick = calls.relay.next_tick()
        assert tick is not None
        if (arrives_at := number * SLOT_S + offset_s) <= tick + late_s:
            calls.now = max(calls.now, arrives_at)
            phone.send(media, number & 0xFFFF, speech(number))
            number += 1
            if calls.now < tick - UNREAD_S:
                calls.relay.rtp_readable(calls.now)
        else:
            calls.now = tick + late_s
            calls.relay.tick(calls.now)
            calls.relay.rtp_readable(calls.now)


def gaps(frames: list[LinkFrame]) -> list[float]:
    return [after.sent_at - before.sent_at for before, after in pairwise(frames[1:])]


def settled(calls: RelayCalls, offset_s: float | None) -> tuple[Phone, CallMedia, FarEnd]:
    """A call that has moved, its phone talking, or silent where it has no offset."""
    phone, media, far = calls.connected()
    media.settle_at(calls.now + SETTLES_AFTER_S)
    if offset_s is None:
        calls.run(3.0)
    else:
        run(calls, 3.0, phone, media, offset_s)
    return phone, media, far


@pytest.mark.parametrize("offset_ms", range(0, 20, 2))
class TestPhoneThatTalks:
    def test_a_frame_waits_little_for_its_slot(self, calls: RelayCalls, offset_ms: int) -> None:
        _, _, far = settled(calls, offset_ms / 1000)
        low_s, high_s = CLOSE_S
        for frame in far.frames[-20:]:
            waited_s = (frame.sent_at - offset_ms / 1000) % SLOT_S
            assert low_s - 1e-6 <= waited_s <= high_s + 1e-6

    def test_loses_no_speech_and_sends_none_twice(self, calls: RelayCalls, offset_ms: int) -> None:
        _, media, far = settled(calls, offset_ms / 1000)
        heard = [frame.payload for frame in far.frames if frame.payload != ULAW_SILENCE]
        first = heard[0][0]
        assert [payload[0] for payload in heard] == [
            (first - 1 + number) % 100 + 1 for number in range(len(heard))
        ]
        assert media.buffer.underruns <= 1
        assert media.buffer.overruns == media.buffer.slips == 0

    def test_leaves_a_frame_behind_that_waits_for_nothing(
        self, calls: RelayCalls, offset_ms: int
    ) -> None:
        phone, media, far = calls.connected()
        media.settle_at(calls.now + SETTLES_AFTER_S)
        offset_s = offset_ms / 1000 + 0.0005  # at a slot's very begin either order is right
        run(calls, 0.5, phone, media, offset_s)
        last = round((calls.now - offset_s) / SLOT_S)
        calls.run(2.05 * SLOT_S)  # a packet is late, for once: its slot passes in silence
        for number in (last + 1, last + 2):
            phone.send(media, number & 0xFFFF, speech(number))
        calls.relay.rtp_readable(calls.now)
        run(calls, 2.4, phone, media, offset_s)
        for frame in far.frames[-20:]:
            number = math.floor((frame.sent_at - offset_s - CLOSE_S[0]) / SLOT_S + 1e-6)
            assert frame.payload == speech(number)
        assert (media.buffer.underruns, media.buffer.slips) == (1, 1)

    def test_timestamps_go_on_as_they_were(self, calls: RelayCalls, offset_ms: int) -> None:
        _, _, far = settled(calls, offset_ms / 1000)
        stamps = [frame.timestamp_ms for frame in far.frames]
        assert stamps == list(range(stamps[0], stamps[0] + 20 * len(stamps), 20))


class TestWhatTheLinkShows:
    @pytest.mark.parametrize("offset_s", [None, 0.0, 0.007, 0.016])
    def test_all_calls_move_in_the_same_slot_and_once(
        self, calls: RelayCalls, offset_s: float | None
    ) -> None:
        _, _, far = settled(calls, offset_s)
        moved = [at for at, gap in enumerate(gaps(far.frames)) if abs(gap - SLOT_S) > 1e-6]
        moved_at = [far.frames[at + 2].sent_at - far.frames[0].sent_at for at in moved]
        assert len(moved) <= 1
        assert all(SETTLES_AFTER_S < at < SETTLES_AFTER_S + 3 * SLOT_S for at in moved_at)
        assert all(0.0039 < gaps(far.frames)[at] < 0.0341 for at in moved)

    def test_silent_phones_move_by_random_times(self, calls: RelayCalls) -> None:
        moved: set[float] = set()
        for _ in range(60):
            _, media, far = settled(calls, None)
            moved |= {round(gap, 3) for gap in gaps(far.frames)}
            media.close()
        assert moved == {0.01, SLOT_S, 0.03}

    def test_a_phone_that_fell_silent_moves_as_one_that_never_talked(
        self, calls: RelayCalls
    ) -> None:
        phone, media, far = calls.connected()
        media.settle_at(calls.now + SETTLES_AFTER_S)
        run(calls, 0.5, phone, media, 0.004)
        calls.run(2.0)
        moved = [gap for gap in gaps(far.frames) if abs(gap - SLOT_S) > 1e-6]
        assert len(moved) <= 1


class TestBusyLoop:
    """It wakes late, or with packets in the sockets that it has not read yet."""

    @pytest.mark.parametrize("offset_ms", range(20))
    def test_what_has_come_before_a_slot_leaves_in_it(
        self, calls: RelayCalls, offset_ms: int
    ) -> None:
        phone, media, _ = calls.connected()
        media.settle_at(calls.now + SETTLES_AFTER_S)
        run_late(calls, 0.5, (phone, media), offset_ms / 1000)
        before = media.buffer.underruns
        run_late(calls, 1.5, (phone, media), offset_ms / 1000)
        assert media.buffer.underruns == before

    def test_a_slot_that_has_been_run_is_not_moved_to(
        self, calls: RelayCalls, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        opened = [calls.connected() for _ in range(3 * BATCH_CALLS + 1)]
        phone, media, far = opened[-1]
        media.settle_at(calls.now + SETTLES_AFTER_S)
        monkeypatch.setattr(Phases, "_next_arrival", staticmethod(_just_behind))
        run_late(calls, 1.2, (phone, media), math.inf, 0.0065)
        stamps = [frame.timestamp_ms for frame in far.frames]
        assert stamps == list(range(0, 20 * len(stamps), 20))


class TestMeanwhile:
    def test_a_call_that_ends_is_forgotten(self, calls: RelayCalls) -> None:
        for seconds in (0.5, 0.95):  # before it, and while its sockets are read at once
            _, media, _ = calls.connected()
            media.settle_at(calls.now + SETTLES_AFTER_S)
            calls.run(seconds)
            media.close()
            calls.run(1.0)
        assert calls.relay.next_tick() is None
        assert not calls.failures

    def test_a_call_that_is_closed_does_not_settle(self, calls: RelayCalls) -> None:
        _, media, _ = calls.connected()
        media.close()
        media.settle_at(calls.now)
        assert calls.relay.next_tick() is None

    def test_calls_that_are_over_are_not_kept_for_their_move(self, calls: RelayCalls) -> None:
        _, media, _ = calls.connected()
        media.settle_at(calls.now + SETTLES_AFTER_S)
        media.close()
        assert not any(phase.moves for phase in calls.relay._phases._phases)

    def test_another_phone_takes_the_call(self, calls: RelayCalls) -> None:
        _, media, far = calls.connected()
        media.settle_at(calls.now + SETTLES_AFTER_S)
        calls.run(0.95)
        other = calls.phone()
        calls.relay.move(media, calls.relay._ports.open(other.host))
        media.set_remote(remote_of(other))
        run(calls, 1.0, other, media, 0.004)
        assert far.frames[-1].payload != ULAW_SILENCE
        assert not calls.failures

    def test_a_tone_goes_on(self, calls: RelayCalls) -> None:
        phone, media, _ = calls.connected()
        media.settle_at(calls.now + SETTLES_AFTER_S)
        run(calls, 0.1, phone, media, 0.004)
        media.play(ContinuousTone(Format.ULAW), calls.now)
        run(calls, 1.9, phone, media, 0.004)
        phone.received()
        calls.run(0.5)
        assert len(phone.received()) == pytest.approx(25, abs=1)

    def test_one_that_fails_takes_no_other_with_it(
        self, calls: RelayCalls, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _, media, _ = calls.connected()
        _, _, other = calls.connected()
        media.settle_at(calls.now + SETTLES_AFTER_S)
        monkeypatch.setattr(Phases, "move", _failing)
        calls.run(2.0)
        assert [failed for failed, _ in calls.failures] == [media]
        assert other.frames[-1].sent_at == pytest.approx(calls.now, abs=SLOT_S)

    def test_phases_that_fill_up_spread_over_the_others(self, calls: RelayCalls) -> None:
        opened = [calls.connected()[1] for _ in range(BATCH_CALLS + 1)]
        assert {media.phase for media in opened} == {0, 1}
