import itertools
import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.dialing.envelope import (
    GRID_S,
    IN_CALL_SLOT_S,
    PENDING_SIGNALS_MAX,
    Cng,
    Control,
    Digit,
    Envelope,
    HangUp,
    Signal,
    SignalSlots,
    draw_tail_slots,
    grid_point,
)

ENVELOPE = Envelope(slots=26, slot_ms=60, start_ms=(200, 600), terminator="#")
ANSWERED_AT = 1000.0
NUMBERS = st.text("0123456789*ABCD", max_size=25)
TIMINGS = st.lists(st.floats(0, 3), max_size=80)


def slots_for(digits: str, start_delay_s: float = 0.3) -> SignalSlots:
    return SignalSlots(ENVELOPE, digits, ANSWERED_AT + start_delay_s)


def on_time(slots: SignalSlots, count: int) -> list[tuple[float, Signal]]:
    taken = []
    for _ in range(count):
        at = slots.next_slot_at()
        taken.append((at, slots.take(at)))
    return taken


def late(slots: SignalSlots, latenesses_s: list[float]) -> list[float]:
    times = []
    for lateness_s in latenesses_s:
        now = slots.next_slot_at() + lateness_s
        slots.take(now)
        times.append(now)
    return times


def text_of(taken: list[tuple[float, Signal]]) -> str:
    return "".join(signal.value if isinstance(signal, Digit) else "-" for _, signal in taken)


def test_digits_first_noise_after_terminator_last() -> None:
    assert ENVELOPE.schedule("5551234") == [*"5551234", *[None] * 18, "#"]


@pytest.mark.parametrize("digits", ["", "1" * 24, "1" * 25])
def test_the_empty_and_the_longest_number_fill_the_same_slots(digits: str) -> None:
    assert len(ENVELOPE.schedule(digits)) == 26


@pytest.mark.parametrize("digits", ["1" * 26, "x", "12 3"])
def test_what_the_plan_refuses_is_never_scheduled(digits: str) -> None:
    with pytest.raises(ValueError, match="dial plan") as caught:
        ENVELOPE.schedule(digits)
    assert digits not in str(caught.value)


def test_the_start_delay_is_drawn_from_its_range() -> None:
    assert ENVELOPE.draw_start_delay_s(lambda low, high: (low + high) / 2) == 0.4
    drawn = [ENVELOPE.draw_start_delay_s(secrets.SystemRandom().uniform) for _ in range(100)]
    assert min(drawn) >= 0.2
    assert max(drawn) <= 0.6
    assert len(set(drawn)) > 90


@given(st.floats(0, 1e6))
def test_the_signals_of_calls_in_progress_leave_together(earliest: float) -> None:
    def slot_from(when: float) -> float:
        return when + 0.0125

    first_at = ENVELOPE.first_slot_at(earliest, slot_from)
    assert -1e-6 <= first_at - earliest <= GRID_S + 0.0125 + 1e-6
    slots = SignalSlots(ENVELOPE, "1", first_at)
    on_time(slots, 26)
    together_at = slots.next_slot_at() - 0.0125
    assert grid_point(together_at - GRID_S / 2) == pytest.approx(together_at)


@given(NUMBERS, NUMBERS)
def test_every_number_has_the_same_shape(one: str, other: str) -> None:
    times = [at for at, _ in on_time(slots_for(one), 40)]
    assert times == [at for at, _ in on_time(slots_for(other), 40)]


@given(NUMBERS, NUMBERS, TIMINGS)
def test_every_number_has_the_same_shape_on_a_loop_that_lags(
    one: str, other: str, latenesses_s: list[float]
) -> None:
    assert late(slots_for(one), latenesses_s) == late(slots_for(other), latenesses_s)


@given(NUMBERS, TIMINGS)
def test_no_stall_loses_a_digit_or_its_order(digits: str, latenesses_s: list[float]) -> None:
    slots = slots_for(digits)
    signals = []
    for lateness_s in [*latenesses_s, *[0.0] * 26][:26]:
        now = slots.next_slot_at() + lateness_s
        signals.append((now, slots.take(now)))
    assert text_of(signals) == digits + "-" * (25 - len(digits)) + "#"
    assert slots.dialing_over


@given(NUMBERS, TIMINGS, st.integers(0, 30))
def test_leaving_shows_as_nothing(digits: str, latenesses_s: list[float], after: int) -> None:
    stays, leaves = slots_for(digits), slots_for(digits)
    times = late(stays, latenesses_s)
    times_before = late(leaves, latenesses_s[:after])
    leaves.leave(len(latenesses_s))
    assert times_before + late(leaves, latenesses_s[after:]) == times


@given(NUMBERS, st.integers(0, 25), st.integers(0, 3))
def test_who_leaves_in_the_burst_sends_no_more_digits_and_no_terminator(
    digits: str, after: int, tail_slots: int
) -> None:
    slots = slots_for(digits)
    before = text_of(on_time(slots, after))
    slots.leave(tail_slots)
    assert not slots.dialing_over
    assert text_of(on_time(slots, 26 - after)) == "-" * (26 - after)
    assert slots.dialing_over
    assert before == digits[:after] + "-" * (after - len(digits))
    *tail, (hung_up_at, last) = on_time(slots, tail_slots + 1)
    assert {signal for _, signal in tail} <= {Cng()}
    assert last == HangUp()
    last_of_burst_at = ANSWERED_AT + 0.3 + 25 * 0.06
    assert hung_up_at - last_of_burst_at == pytest.approx((tail_slots + 1) * IN_CALL_SLOT_S)


@pytest.mark.parametrize("tail_slots", [0, 3])
def test_who_leaves_in_the_call_sends_nothing_that_waited(tail_slots: int) -> None:
    slots = slots_for("1")
    on_time(slots, 30)
    slots.offer_digit("5")
    slots.leave(tail_slots)
    assert not slots.offer_digit("6")
    assert slots.dropped == 1
    signals = [signal for _, signal in on_time(slots, tail_slots + 1)]
    assert signals == [Cng()] * tail_slots + [HangUp()]


def test_leaving_twice_puts_off_nothing() -> None:
    slots = slots_for("1")
    on_time(slots, 26)
    slots.leave()
    slots.leave(3)
    assert on_time(slots, 1)[0][1] == HangUp()


def test_all_lengths_of_the_tail_are_drawn_alike() -> None:
    uniform = secrets.SystemRandom().uniform
    drawn = [draw_tail_slots(uniform) for _ in range(4000)]
    assert set(drawn) == {0, 1, 2, 3}
    assert all(abs(drawn.count(each) - 1000) < 200 for each in set(drawn))
    assert draw_tail_slots(lambda _low, high: high) == 3


def test_a_slow_clock_runs_on_from_the_terminator() -> None:
    taken = on_time(slots_for("123", 0.2), 1226)
    terminator_at = ANSWERED_AT + 0.2 + 25 * 0.06
    assert taken[25][0] == pytest.approx(terminator_at)
    assert taken[26][0] == pytest.approx(terminator_at + 0.5)
    assert taken[-1][0] == pytest.approx(terminator_at + 600)
    assert {signal for _, signal in taken[26:]} == {Cng()}


def test_signals_of_the_call_wait_for_their_slots_one_each() -> None:
    slots = slots_for("1")
    assert slots.offer_digit("5")
    assert slots.offer_control(4)
    assert slots.offer_digit("#")
    taken = on_time(slots, 30)
    assert text_of(taken[:26]) == "1" + "-" * 24 + "#"
    assert [signal for _, signal in taken[26:]] == [Digit("5"), Control(4), Digit("#"), Cng()]


@given(st.lists(st.sampled_from("0123456789"), max_size=60), TIMINGS)
def test_pending_signals_show_in_no_time(pressed: list[str], latenesses_s: list[float]) -> None:
    idle, busy = slots_for(""), slots_for("")
    for digit in pressed:
        busy.offer_digit(digit)
    assert late(idle, latenesses_s) == late(busy, latenesses_s)


def test_the_queue_is_bounded_and_what_it_drops_is_counted() -> None:
    slots = slots_for("")
    accepted = [slots.offer_digit("1") for _ in range(PENDING_SIGNALS_MAX + 3)]
    assert accepted.count(True) == PENDING_SIGNALS_MAX
    assert slots.dropped == 3
    assert not slots.offer_control(3)
    assert slots.dropped == 4


@pytest.mark.parametrize("digit", ["x", "", "12", "a"])
def test_what_is_no_digit_is_dropped_and_counted(digit: str) -> None:
    slots = slots_for("")
    assert not slots.offer_digit(digit)
    assert slots.dropped == 1


def test_a_slot_is_not_taken_early() -> None:
    slots = slots_for("1")
    with pytest.raises(ValueError, match="not come yet"):
        slots.take(slots.next_slot_at() - 0.001)


def test_lateness_does_not_shift_the_grid() -> None:
    slots = slots_for("1")
    slots.take(slots.next_slot_at() + 0.029)
    assert slots.next_slot_at() == pytest.approx(ANSWERED_AT + 0.3 + 0.06)


def test_a_stall_costs_places_of_the_grid_not_frames() -> None:
    slots = slots_for("123")
    first_at = slots.next_slot_at()
    assert slots.take(first_at + 0.3) == Digit("1")
    assert slots.next_slot_at() == pytest.approx(first_at + 6 * 0.06)
    assert slots.take(slots.next_slot_at()) == Digit("2")


@given(NUMBERS, TIMINGS)
def test_never_two_together_and_always_on_the_grid(digits: str, latenesses_s: list[float]) -> None:
    slots = slots_for(digits)
    taken_at, planned_at = [], []
    for lateness_s in latenesses_s:
        planned_at.append(slots.next_slot_at())
        taken_at.append(planned_at[-1] + lateness_s)
        slots.take(taken_at[-1])
    for index, (now, planned) in enumerate(itertools.pairwise(planned_at)):
        step_s = 0.06 if index < 25 else IN_CALL_SLOT_S
        assert planned - taken_at[index] >= step_s / 2 - 1e-6
        places = (planned - now) / step_s
        assert abs(places - round(places)) < 1e-6


def test_no_digit_in_a_repr() -> None:
    assert "5" not in repr(Digit("5"))
