"""What the audit remembers of a dialog: the newest blocks, and moments to be drawn."""

from hypothesis import given
from hypothesis import strategies as st

from bridge.audit.memory import BLOCKS_MAX, RecentBlocks, Timeline

MS = 1_000_000
MOST = 20


def block(number: int) -> bytes:
    return number.to_bytes(8, "big") * 2


def test_a_block_that_was_there_is_repeated() -> None:
    blocks = RecentBlocks()
    assert [blocks.is_repeated(block(n)) for n in (1, 2, 1, 2, 3)] == [0, 0, 1, 1, 0]
    assert len(blocks) == 3


def test_the_oldest_blocks_make_room() -> None:
    blocks = RecentBlocks()
    for number in range(BLOCKS_MAX + 1):
        assert not blocks.is_repeated(block(number))
    assert len(blocks) == BLOCKS_MAX
    assert blocks.is_repeated(block(1))
    assert not blocks.is_repeated(block(0))


def test_what_lies_across_two_blocks_is_none() -> None:
    blocks = RecentBlocks()
    first, second = b"a" * 8 + b"b" * 8, b"c" * 8 + b"d" * 8
    for each in (first, second, b"b" * 8 + b"c" * 8):
        assert not blocks.is_repeated(each)
    assert blocks.is_repeated(b"b" * 8 + b"c" * 8)


def test_a_block_that_the_capture_cut_is_none() -> None:
    blocks = RecentBlocks()
    assert not any(blocks.is_repeated(b"short") for _ in range(2))


def test_a_short_timeline_is_kept_as_it_is() -> None:
    timeline = Timeline(MOST)
    moments = [(n * 10 * MS, n % 2) for n in range(MOST)]
    for at_ns, kind in moments:
        timeline.add(at_ns, kind)
        timeline.add(at_ns, kind)
    assert list(timeline) == moments


def test_a_long_one_reaches_to_its_end_and_keeps_what_is_rare() -> None:
    timeline = Timeline(MOST)
    for number in range(1000):
        timeline.add(number * 500 * MS, 0)
        if number == 700:
            timeline.add(number * 500 * MS, 1)
    assert MOST / 2 <= len(timeline) <= MOST
    assert (350_000 * MS, 1) in list(timeline)
    assert list(timeline)[-1][0] > 0.9 * 500_000 * MS


@given(st.lists(st.tuples(st.integers(0, 2**63 - 1), st.integers(0, 5)), max_size=200))
def test_it_is_bounded_whatever_the_clock_does(moments: list[tuple[int, int]]) -> None:
    timeline = Timeline(MOST)
    for at_ns, kind in moments:
        timeline.add(at_ns, kind)
    assert len(timeline) <= MOST
    assert set(timeline) <= set(moments)
    assert {kind for _, kind in timeline} == {kind for _, kind in moments}
