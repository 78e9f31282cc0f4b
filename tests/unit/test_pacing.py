from collections.abc import Iterable
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.media.pacing import (
    BATCH_CALLS,
    CATCH_UP_SLOTS,
    NO_AUDIO,
    PHASES,
    PhaseClock,
    ReorderBuffer,
)

STEP_S = 0.005


def frame(sequence: int) -> bytes:
    return b"%d" % (sequence & 0xFFFF)


def put(buffer: ReorderBuffer, sequences: Iterable[int]) -> None:
    for sequence in sequences:
        buffer.put(sequence & 0xFFFF, frame(sequence))


def pulled(buffer: ReorderBuffer, count: int) -> list[bytes | None]:
    return [buffer.pull() for _ in range(count)]


class TestReorderBuffer:
    def test_empty_is_silence(self) -> None:
        buffer = ReorderBuffer()
        assert pulled(buffer, 2) == [None, None]
        assert buffer.underruns == 2

    @pytest.mark.parametrize("first", [0, 1, 3, 0x7FFF, 0xFFFE, 0xFFFF])
    def test_steady_stream_passes_across_the_wrap(self, first: int) -> None:
        buffer = ReorderBuffer()
        for sequence in range(first, first + 300):
            put(buffer, [sequence])
            assert buffer.pull() == frame(sequence)
        assert (buffer.underruns, buffer.late, buffer.overruns, buffer.slips) == (0, 0, 0, 0)

    def test_reordered_packets_are_put_in_order(self) -> None:
        buffer = ReorderBuffer()
        put(buffer, [10, 12, 11])
        assert pulled(buffer, 3) == [frame(10), frame(11), frame(12)]

    def test_duplicate_is_dropped(self) -> None:
        buffer = ReorderBuffer()
        put(buffer, [10, 10])
        assert pulled(buffer, 2) == [frame(10), None]
        assert buffer.late == 1

    def test_duplicate_of_a_played_frame_is_dropped(self) -> None:
        buffer = ReorderBuffer()
        put(buffer, [10])
        buffer.pull()
        put(buffer, [10])
        assert buffer.pull() is None
        assert buffer.late == 1

    def test_lost_packet_is_waited_for_once(self) -> None:
        buffer = ReorderBuffer()
        put(buffer, [10, 12])
        assert pulled(buffer, 3) == [frame(10), None, frame(12)]

    def test_lost_packet_found_out_by_an_empty_buffer_costs_one_silence(self) -> None:
        buffer = ReorderBuffer()
        put(buffer, [10])
        assert pulled(buffer, 2) == [frame(10), None]
        put(buffer, [12])
        assert buffer.pull() == frame(12)

    def test_late_packet_is_played_after_its_silence(self) -> None:
        buffer = ReorderBuffer()
        put(buffer, [10])
        assert pulled(buffer, 2) == [frame(10), None]
        put(buffer, [11, 12])
        assert pulled(buffer, 2) == [frame(11), frame(12)]

    def test_packet_after_its_turn_is_late(self) -> None:
        buffer = ReorderBuffer()
        put(buffer, [10, 12])
        pulled(buffer, 3)
        put(buffer, [11, 13])
        assert buffer.pull() == frame(13)
        assert buffer.late == 1

    def test_fourth_frame_drops_the_oldest(self) -> None:
        buffer = ReorderBuffer()
        put(buffer, [10, 11, 12, 13])
        assert pulled(buffer, 4) == [frame(11), frame(12), frame(13), None]
        assert buffer.overruns == 1

    def test_burst_after_a_stall_keeps_the_newest_three(self) -> None:
        buffer = ReorderBuffer()
        put(buffer, range(10, 30))
        assert pulled(buffer, 3) == [frame(27), frame(28), frame(29)]

    def test_pause_with_running_numbers_resumes_at_once(self) -> None:
        buffer = ReorderBuffer()
        put(buffer, [10])
        pulled(buffer, 500)
        put(buffer, [11])
        assert buffer.pull() == frame(11)

    @pytest.mark.parametrize("jump", [4, 50, 99, 100, 5000, 0x8000, -100, -5000])
    def test_jump_of_numbers_resumes_at_once(self, jump: int) -> None:
        buffer = ReorderBuffer()
        put(buffer, [10_000])
        pulled(buffer, 10)
        put(buffer, [10_000 + jump])
        played = pulled(buffer, 3)
        assert frame(10_000 + jump) in played

    def test_number_without_audio_is_passed_over(self) -> None:
        buffer = ReorderBuffer()
        put(buffer, [10])
        buffer.put(11, NO_AUDIO)
        put(buffer, [12])
        assert pulled(buffer, 2) == [frame(10), frame(12)]

    def test_numbers_without_audio_alone_are_silence(self) -> None:
        buffer = ReorderBuffer()
        for sequence in range(50):
            buffer.put(sequence, NO_AUDIO)
            assert buffer.pull() is None
        put(buffer, [50])
        assert buffer.pull() == frame(50)

    def test_clear_takes_any_number_as_the_first(self) -> None:
        buffer = ReorderBuffer()
        put(buffer, [10])
        buffer.clear()
        put(buffer, [2])
        assert pulled(buffer, 2) == [frame(2), None]

    def test_returns_to_one_frame_after_a_late_packet(self) -> None:
        buffer = ReorderBuffer()
        buffer.put(0, frame(0))
        buffer.pull()
        buffer.pull()  # 1 is late: from here on the buffer is one frame deeper
        put(buffer, [1])
        for sequence in range(2, 3300):
            put(buffer, [sequence])
            buffer.pull()
        put(buffer, [3300])
        assert buffer.pull() == frame(3300)
        assert buffer.slips == 1

    def test_depth_that_jitter_needs_is_kept(self) -> None:
        buffer = ReorderBuffer()
        put(buffer, [0, 1])
        for sequence in range(2, 1000, 2):
            buffer.pull()
            put(buffer, [sequence, sequence + 1])  # two by two: every second pull needs the depth
            buffer.pull()
        assert buffer.slips <= 1
        assert buffer.underruns <= 1

    def test_a_frame_too_deep_goes_after_5_s_and_each_time_after_twice_as_long(self) -> None:
        buffer = ReorderBuffer()
        numbers = count()
        waited = []
        for slips in range(1, 6):
            for _ in range(100):
                put(buffer, [next(numbers)])
                buffer.pull()
            buffer.pull()  # misses its frame
            put(buffer, [next(numbers)])
            pulls = 0
            while buffer.slips < slips:
                put(buffer, [next(numbers)])
                buffer.pull()
                pulls += 1
            waited.append(pulls)
        assert waited == [250, 500, 1000, 1500, 1500]

    def test_depth_that_was_needed_stays_for_5_s_from_then(self) -> None:
        buffer = ReorderBuffer()
        put(buffer, [0, 1])
        for number in range(2, 202):
            buffer.pull()
            put(buffer, [number])
        buffer.pull()
        buffer.pull()  # what comes next is late
        put(buffer, [202, 203])
        for number in range(204, 204 + 249):
            buffer.pull()
            put(buffer, [number])
        assert buffer.slips == buffer.underruns == 0
        buffer.pull()
        assert buffer.slips == 1

    def test_two_frames_too_deep_go_one_after_the_other(self) -> None:
        buffer = ReorderBuffer()
        put(buffer, [0, 1])
        slipped_at = []
        for number in range(2, 1000):
            put(buffer, [number])
            slips = buffer.slips
            buffer.pull()
            slipped_at += [number - 1] * (buffer.slips - slips)
        assert slipped_at == [250, 250 + 500]

    @pytest.mark.parametrize(("pulls", "slips"), [(0, 0), (1, 0), (2, 0), (3, 1)])
    def test_what_is_left_of_a_burst_is_no_depth(self, pulls: int, slips: int) -> None:
        buffer = ReorderBuffer()
        put(buffer, [0, 1])
        for number in range(2, 2 + pulls):
            buffer.pull()
            put(buffer, [number])
        buffer.shrink()
        assert buffer.slips == slips

    @pytest.mark.parametrize("drift", [-0.0002, 0.0002])
    def test_drift_becomes_slips(self, drift: float) -> None:
        buffer = ReorderBuffer()
        sent = played = 0
        for slot in range(100_000):
            while sent < (slot + 0.5) * (1 + drift):
                put(buffer, [sent])
                sent += 1
            played += buffer.pull() is not None
        slipped = buffer.slips + buffer.overruns + buffer.underruns
        assert 15 <= slipped <= 30
        assert buffer.overruns == 0
        assert played + buffer.slips >= sent - 3

    @given(st.lists(st.one_of(st.none(), st.integers(0, 0xFFFF), st.integers(0, 12)), max_size=200))
    def test_never_holds_more_than_three_and_never_plays_twice(
        self, steps: list[int | None]
    ) -> None:
        buffer = ReorderBuffer()
        held = 0
        for number, step in enumerate(steps):
            if step is None:
                held -= buffer.pull() is not None
            else:
                buffer.put(step, b"%d" % number)
        drained = [frame for frame in pulled(buffer, 20) if frame]
        assert len(drained) <= 3
        assert len(set(drained)) == len(drained)

    @given(st.permutations(range(60)), st.data())
    def test_plays_in_order_whatever_the_order_of_arrival(
        self, jitter: list[int], data: st.DataObject
    ) -> None:
        buffer = ReorderBuffer()
        arrivals = sorted(range(60), key=lambda sequence: sequence + jitter[sequence] % 4)
        played = []
        for sequence in arrivals:
            buffer.put(sequence, bytes([sequence + 1]))
            if data.draw(st.booleans()):
                played.append(buffer.pull())
        numbers = [frame[0] for frame in [*played, *pulled(buffer, 9)] if frame]
        assert numbers == sorted(set(numbers))


class TestPhaseClock:
    def test_sleeps_while_no_phase_runs(self) -> None:
        clock = PhaseClock()
        assert clock.next_tick() is None
        assert list(clock.due(1e6)) == []

    @pytest.mark.parametrize("phase", range(PHASES))
    def test_first_slot_is_the_next_of_the_phase(self, phase: int) -> None:
        clock = PhaseClock()
        clock.join(phase, 50.0)
        tick = clock.next_tick()
        assert tick == pytest.approx(50.0 + (phase or PHASES) * STEP_S)

    @given(st.floats(0, 1e8), st.integers(0, PHASES - 1))
    def test_a_tick_in_time_is_due_and_stays_on_the_grid(self, now: float, phase: int) -> None:
        clock = PhaseClock()
        clock.join(phase, now)
        first = clock.slot_begun(phase, now) + 1
        for slot in range(first, first + 20):
            tick = clock.next_tick()
            assert tick is not None
            assert tick == pytest.approx(slot * 0.02 + phase * STEP_S, abs=1e-6)
            assert [(index, list(slots)) for index, slots in clock.due(tick)] == [(phase, [slot])]

    def test_lateness_never_adds_up(self) -> None:
        clock = PhaseClock()
        clock.join(3, 10.0)
        slots = [
            slot
            for wake_up in range(1, 500)
            for _, due in clock.due(10.0 + wake_up * 0.0237)
            for slot in due
        ]
        assert slots == list(range(slots[0], slots[0] + len(slots)))
        assert len(slots) == pytest.approx(499 * 0.0237 / 0.020, abs=1)
        assert clock.skipped_slots == 0

    def test_catches_up_bounded_after_a_stall(self) -> None:
        clock = PhaseClock()
        clock.join(0, 10.0)
        ((_, slots),) = clock.due(12.0)
        assert slots == range(600 - CATCH_UP_SLOTS + 1, 601)
        assert clock.skipped_slots == 100 - CATCH_UP_SLOTS
        assert clock.next_tick() == pytest.approx(12.02)

    def test_each_running_phase_is_due_once(self) -> None:
        clock = PhaseClock()
        for phase in (1, 3, 3):
            clock.join(phase, 10.0)
        assert [phase for phase, _ in clock.due(10.020)] == [1, 3]
        assert list(clock.due(10.020)) == []

    def test_left_phase_does_not_wake(self) -> None:
        clock = PhaseClock()
        clock.join(1, 10.0)
        clock.join(3, 10.0)
        clock.leave(1)
        assert clock.next_tick() == pytest.approx(10.0 + 3 * STEP_S)
        clock.leave(3)
        assert clock.next_tick() is None

    def test_rejoined_phase_has_no_debts(self) -> None:
        clock = PhaseClock()
        clock.join(1, 10.0)
        clock.leave(1)
        clock.join(1, 20.0)
        assert clock.next_tick() == pytest.approx(20.0 + STEP_S)

    def test_silent_phones_fill_a_batch_before_another_phase(self) -> None:
        clock = PhaseClock()
        for _ in range(BATCH_CALLS):
            assert clock.choose(None) == 0
            clock.join(0, 0.0)
        assert clock.choose(None) == 1

    def test_all_phases_full_then_the_emptiest(self) -> None:
        clock = PhaseClock()
        for phase in range(PHASES):
            for _ in range(BATCH_CALLS + (phase != 2)):
                clock.join(phase, 0.0)
        assert clock.choose(None) == 2

    @given(st.floats(0, 1e5))
    def test_slot_is_close_behind_a_phones_arrivals(self, arrived_at: float) -> None:
        clock = PhaseClock()
        for other in range(PHASES):
            clock.join(other, arrived_at)
        phase = clock.choose(arrived_at)
        begins_at = clock.begin_of(phase, clock.slot_close_to(phase, arrived_at))
        assert 0.0034 <= begins_at - arrived_at <= 0.0086

    def test_phase_that_runs_close_behind_is_preferred(self) -> None:
        clock = PhaseClock()
        clock.join(3, 0.0)
        assert clock.choose(0.0026) == 3
        clock.join(2, 0.0)
        assert clock.choose(0.0026) == 2

    def test_phase_far_behind_or_full_is_not(self) -> None:
        clock = PhaseClock()
        clock.join(0, 0.0)
        for _ in range(BATCH_CALLS):
            clock.join(2, 0.0)
        clock.join(3, 0.0)
        assert clock.choose(0.0026) == 3

    @given(st.floats(0, 1e5))
    def test_few_calls_share_every_other_phase(self, arrived_at: float) -> None:
        clock = PhaseClock()
        phase = clock.choose(arrived_at)
        assert phase % 2 == 0
        clock.join(phase, arrived_at)
        tick = clock.next_tick()
        assert tick is not None
        assert 0.0034 <= tick - arrived_at <= 0.0136

    def test_many_calls_do_not(self) -> None:
        clock = PhaseClock()
        for _ in range(BATCH_CALLS):
            clock.join(0, 0.0)
        assert clock.choose(0.0001) == 1

    def test_nothing_close_behind_runs(self) -> None:
        clock = PhaseClock()
        clock.join(0, 0.0)
        clock.join(1, 0.0)
        assert clock.choose(0.0026) == 2


@pytest.mark.parametrize("phase", range(PHASES))
def test_slot_from_is_the_first_slot_that_does_not_begin_earlier(phase: int) -> None:
    clock = PhaseClock()
    for when in (1000.0, 1000.0004, 1000.0199, 1000.0025):
        begins_at = clock.slot_from(phase, when)
        assert when <= begins_at < when + 0.02
        assert clock.slot_begun(phase, begins_at) == clock.slot_begun(phase, begins_at - 0.001) + 1
