"""Who is to be served when, with deadlines that move."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.iax2.deadlines import ABANDONED_MAX, Deadlines


@dataclass(eq=False, slots=True)
class Waiting:
    """Waits for one deadline, and then for nothing."""

    deadline: float | None
    filed: list[float] = field(default_factory=list)
    served_at: list[float] = field(default_factory=list)

    def next_deadline(self) -> float | None:
        return self.deadline

    def handle_timeout(self, now: float) -> None:
        self.served_at.append(now)
        self.deadline = None


def filed(*deadlines: float) -> tuple[Deadlines, list[Waiting]]:
    order, waiting = Deadlines(), [Waiting(deadline) for deadline in deadlines]
    for each in waiting:
        look_at(order, each)
    return order, waiting


def look_at(order: Deadlines, waiting: Waiting) -> None:
    order.file(waiting)
    order.next()


def move(order: Deadlines, waiting: Waiting, deadline: float | None) -> None:
    waiting.deadline = deadline
    look_at(order, waiting)


def test_the_earliest_comes_first_and_only_in_its_time() -> None:
    order, (late, early) = filed(3.0, 2.0)
    assert order.next() == 2.0
    assert order.pop_due(1.9) is None
    assert order.pop_due(5.0) is early
    assert order.pop_due(5.0) is late
    assert order.pop_due(5.0) is None
    assert order.next() is None


def test_one_that_moves_earlier_is_served_earlier_and_once() -> None:
    order, (only,) = filed(3.0)
    move(order, only, 1.0)
    assert order.next() == 1.0
    assert order.pop_due(1.0) is only
    move(order, only, None)
    assert order.next() is None
    assert len(order) == 0


def test_one_that_moves_later_moves_when_its_time_comes() -> None:
    order, (mover, other) = filed(1.0, 2.0)
    for deadline in range(3, 1000):
        move(order, mover, deadline)
    assert len(order) == 2
    assert order.next() == 2.0
    assert order.pop_due(2.0) is other
    assert order.next() == 999


def test_what_comes_back_to_a_time_on_file_is_not_filed_again() -> None:
    order, (only,) = filed(10.0)
    for now in range(9):
        move(order, only, now + 0.5)
        move(order, only, 10.0)
        assert order.next() == 10.0
        assert len(order) == 1


def test_one_that_waits_no_more_is_never_served() -> None:
    order, (gone, stays) = filed(1.0, 2.0)
    move(order, gone, None)
    assert order.pop_due(9.0) is stays
    assert gone.filed == []


def test_who_changes_often_is_looked_at_once() -> None:
    order, (only,) = filed(9.0)
    for deadline in range(8, 0, -1):
        only.deadline = deadline
        order.file(only)
    assert len(order) == 2
    assert order.next() == 1
    assert only.filed == [9.0, 1]


def test_what_is_abandoned_does_not_pile_up() -> None:
    order, (stays,) = filed(5.0)
    for _ in range(1000):
        look_at(order, gone := Waiting(4.0))
        move(order, gone, None)
        assert len(order) <= 1 + ABANDONED_MAX
    assert order.pop_due(5.0) is stays
    assert len(order) == 0


@pytest.mark.parametrize("back_at", [0.5, 1.0, 2.0])
def test_who_waits_again_after_all_is_served_once(back_at: float) -> None:
    order, (only,) = filed(1.0)
    move(order, only, None)
    move(order, only, back_at)
    served = order.pop_due(5.0)
    assert served is only
    only.handle_timeout(5.0)
    assert order.pop_due(5.0) is None
    assert len(order) == 0


TIMES = st.one_of(st.none(), st.integers(0, 50).map(float))


@given(st.lists(st.tuples(st.integers(0, 4), TIMES), max_size=60))
def test_whatever_moves_each_is_served_at_its_time(moves: list[tuple[int, float | None]]) -> None:
    order, waiting = filed(*[60.0] * 5)
    for number, deadline in moves:
        move(order, waiting[number], deadline)
    expected = {id(each): each.deadline for each in waiting if each.deadline is not None}
    for now in range(61):
        while (each := order.pop_due(now)) is not None:
            assert expected.pop(id(each)) == now
            each.handle_timeout(now)
    assert not expected
    assert len(order) == 0
