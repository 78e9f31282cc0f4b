"""The table of what each kind of frame costs."""

from tests.bench.frame_cost import COLUMNS, KINDS, Cost, costs, table


def test_each_kind_is_measured_in_a_call_that_stays_up() -> None:
    measured = list(costs(frames=300))
    assert len(measured) == len(KINDS) + 3
    assert all(cost.parse > 0 and cost.encode > 0 and cost.received > 0 for cost in measured)
    clear = {cost.name for cost in measured if not cost.decrypt}
    assert clear == {"INVAL in clear", "NEW, no token", "POKE"}


def test_the_table_has_a_line_for_each_kind() -> None:
    lines = table([Cost("ACK", 36, 1.04, 2.0, 3.0, 4.0)]).splitlines()
    assert [cell for cell in COLUMNS if cell not in lines[1]] == []
    assert lines[2].split() == ["ACK", "36", "1.0", "2.0", "3.0", "4.0", "6.0"]
