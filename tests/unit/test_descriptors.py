"""The soft limit of 1024 descriptors holds neither a thousand calls nor strangers' connections."""

import resource
from collections.abc import Iterator

import pytest

from bridge.descriptors import DESCRIPTORS_MAX, use_what_is_allowed

FEW = 512


@pytest.fixture(autouse=True)
def limits() -> Iterator[tuple[int, int]]:
    """As they were, which comes back."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield before
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_the_soft_limit_becomes_the_hard_one(limits: tuple[int, int]) -> None:
    hard = limits[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (FEW, hard))
    assert use_what_is_allowed() == min(hard, DESCRIPTORS_MAX)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (min(hard, DESCRIPTORS_MAX), hard)


def test_what_is_allowed_without_end_is_bounded_by_us(
    limits: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (FEW, resource.RLIM_INFINITY))
    asked = []
    monkeypatch.setattr(resource, "setrlimit", lambda _, pair: asked.append(pair))
    assert use_what_is_allowed() == DESCRIPTORS_MAX
    assert asked == [(DESCRIPTORS_MAX, resource.RLIM_INFINITY)]
    monkeypatch.undo()
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == limits


def test_more_is_never_taken_away() -> None:
    first = use_what_is_allowed()
    assert use_what_is_allowed() == first
