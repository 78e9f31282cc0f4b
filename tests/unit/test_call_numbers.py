"""Local call numbers and the minute that they rest."""

import os
from random import Random

import pytest

from bridge.iax2.call_numbers import CallNumbers
from bridge.iax2.errors import LocalProtocolError

START = 1000.0
ALL = 32_766


def numbers(seed: int = 1) -> CallNumbers:
    return CallNumbers(Random(seed).randbytes)


def test_all_but_the_invalid_and_the_stateless_one_are_handed_out_once() -> None:
    pool = numbers()
    handed_out = [pool.allocate(START) for _ in range(ALL)]
    assert sorted(handed_out) == list(range(2, 32_768))
    assert pool.taken == pool.in_use == ALL
    with pytest.raises(LocalProtocolError):
        pool.allocate(START)


def test_a_number_rests_for_sixty_seconds() -> None:
    pool = CallNumbers(bytes)
    first = pool.allocate(START)
    pool.release(first, START)
    assert (pool.taken, pool.in_use) == (1, 0)
    assert pool.allocate(START + 59.999) != first
    assert pool.allocate(START + 60) == first
    assert pool.taken == 2


def test_an_exhausted_pool_recovers_number_by_number() -> None:
    pool = numbers()
    handed_out = [pool.allocate(START) for _ in range(ALL)]
    pool.release(handed_out[5], START + 1)
    pool.release(handed_out[9], START + 2)
    with pytest.raises(LocalProtocolError):
        pool.allocate(START + 60.9)
    assert pool.allocate(START + 61) == handed_out[5]
    with pytest.raises(LocalProtocolError):
        pool.allocate(START + 61)
    assert pool.allocate(START + 62) == handed_out[9]


def test_numbers_are_random() -> None:
    assert numbers(1).allocate(START) != numbers(2).allocate(START)
    pool = CallNumbers(os.urandom)
    assert len({pool.allocate(START) for _ in range(100)}) == 100
