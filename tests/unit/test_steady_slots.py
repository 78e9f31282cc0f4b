"""The signal clock of a call that the peer dials."""

import pytest

from bridge.dialing.envelope import IN_CALL_SLOT_S, Cng, Control, Digit, HangUp, Signal, Text
from bridge.dialing.steady_slots import SteadySlots

FIRST_AT = 100.0


def taken(slots: SteadySlots, count: int) -> list[tuple[float, Signal]]:
    """The next signals, each at its time."""
    found = []
    for _ in range(count):
        at = slots.next_slot_at()
        found.append((at, slots.take(at)))
    return found


def test_a_signal_each_500_ms_from_the_first_slot_on() -> None:
    slots = SteadySlots(FIRST_AT)
    assert taken(slots, 4) == [(FIRST_AT + n * IN_CALL_SLOT_S, Cng()) for n in range(4)]


def test_no_slot_before_its_time() -> None:
    slots = SteadySlots(FIRST_AT)
    with pytest.raises(ValueError, match="has not come"):
        slots.take(FIRST_AT - 0.001)


def test_what_is_offered_leaves_in_order_and_there_is_no_burst_of_ours() -> None:
    slots = SteadySlots(FIRST_AT)
    assert slots.dialing_over
    assert slots.offer_text(b"hello")
    assert slots.offer_control(3)
    assert slots.offer_digit("5")
    signals = [signal for _, signal in taken(slots, 4)]
    assert signals == [Text(b"hello"), Control(3), Digit("5"), Cng()]


def test_hang_up_takes_a_slot_and_nothing_goes_before_it() -> None:
    slots = SteadySlots(FIRST_AT)
    slots.offer_control(3)
    slots.leave(1)
    assert not slots.offer_text(b"too late")
    assert [signal for _, signal in taken(slots, 2)] == [Cng(), HangUp()]
