"""The limit on log lines, in a time of the test's own."""

from bridge.sip.line_limit import LineLimit


def test_a_line_for_each_interval_stands_for_all_before_it() -> None:
    lines = LineLimit(1.0)
    assert [lines.take(now) for now in (0.0, 0.1, 0.9, 1.0, 1.5, 7.0, 8.0)] == [1, 0, 0, 3, 0, 2, 1]
