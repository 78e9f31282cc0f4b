"""The search finds a number wherever and however it stands, and nothing where it is not."""

import os
from random import Random
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.demo.search import find_text, forms_of, repeated_blocks

NUMBER: Final = "4930123456"
NOISE: Final = Random(1).randbytes(100)


@pytest.mark.parametrize("form", forms_of(NUMBER))
def test_each_form_is_found_within_a_datagram(form: str) -> None:
    hidden = NOISE[:40] + forms_of(NUMBER)[form] + NOISE[40:]
    assert form in find_text([("out", NOISE), ("out", hidden)], NUMBER)


def test_bcd_is_found_from_either_half_of_an_octet() -> None:
    packed = bytes.fromhex("4930123456")
    assert find_text([("out", NOISE + packed + NOISE)], NUMBER) == ("BCD from digit 1",)
    shifted = bytes.fromhex("04930123456f")
    assert find_text([("out", NOISE + shifted)], NUMBER) == ("BCD from digit 2",)


def test_digits_sent_one_by_one_are_found() -> None:
    frames = [("out", bytes([9, 1, ord(digit), 4])) for digit in NUMBER]
    others = [("in", bytes([9, 1, 0, 4])) for _ in NUMBER]
    mixed = [frame for pair in zip(frames, others, strict=True) for frame in pair]
    assert find_text(mixed, NUMBER) == ("ASCII",)
    assert find_text(others, NUMBER) == ()


def test_a_name_is_found_in_any_case_of_encoding() -> None:
    assert find_text([("out", NOISE + b"secretary")], "secretary") == ("ASCII",)
    assert find_text([("out", "secretary".encode("utf-16-be"))], "secretary") == ("UTF-16",)
    assert set(forms_of("secretary")) == {"ASCII", "ASCII reversed", "UTF-16"}


def test_forms_that_stand_anywhere_by_chance_are_left_out() -> None:
    assert set(forms_of("112")) == {"UTF-16"}


@given(st.text("0123456789", min_size=10, max_size=14))
def test_random_octets_hold_no_number(number: str) -> None:
    assert find_text([("out", NOISE)] * 3, number) == ()


def test_nothing_is_found_in_nothing() -> None:
    assert find_text([], NUMBER) == ()


def test_repeated_blocks() -> None:
    fresh = [os.urandom(48) for _ in range(50)]
    assert repeated_blocks(fresh) == 0
    assert repeated_blocks([*fresh, bytes(16), os.urandom(16) + bytes(16)]) == 1
    assert repeated_blocks([bytes(1) + bytes(15), fresh[0], fresh[0]]) == 3
