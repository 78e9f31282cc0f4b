"""The table of nonce counts stays bounded, and forgetting never lets a nonce be used again."""

from hypothesis import given
from hypothesis import strategies as st

from bridge.sip.nonce_counts import NonceCounts

A_SECOND_US = 1_000_000


def issued(second: float) -> tuple[str, int]:
    return f"nonce-{second}", int(second * A_SECOND_US)


def test_one_source_pushes_out_its_own_nonces_alone() -> None:
    counts = NonceCounts(300, per_source=2, in_all=100)
    assert counts.take("other", *issued(1), 1, 10)
    for second in (2, 3, 4):
        assert counts.take("one", *issued(second), 1, 10)
    assert len(counts) == 3
    assert not counts.take("one", *issued(2), 2, 10)  # forgotten: not to be believed again
    assert not counts.take("one", *issued(1.5), 1, 10)  # nor an older one that was never used
    assert counts.take("other", *issued(1), 2, 10)


def test_all_together_are_bounded_and_the_longest_silent_gives_way() -> None:
    counts = NonceCounts(300, per_source=10, in_all=3)
    for second in range(1, 6):
        assert counts.take(f"source-{second}", *issued(second), 1, 10)
    assert len(counts) == 3
    assert not counts.take("source-1", *issued(1), 2, 10)
    assert counts.take("source-5", *issued(5), 2, 10)


def test_what_is_too_old_is_forgotten() -> None:
    counts = NonceCounts(300)
    assert counts.take("one", *issued(1), 1, 10)
    assert counts.take("two", *issued(400), 1, 400)
    assert len(counts) == 1


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9), st.integers(1, 4)), max_size=200)
)
def test_no_count_is_ever_taken_twice(uses: list[tuple[str, int, int]]) -> None:
    counts = NonceCounts(300, per_source=2, in_all=4)
    highest: dict[tuple[str, int], int] = {}
    for source, second, count in uses:
        if counts.take(source, f"{source}{second}", second * A_SECOND_US, count, 20):
            assert count > highest.get((source, second), 0)
            highest[source, second] = count
        assert len(counts) <= 4
