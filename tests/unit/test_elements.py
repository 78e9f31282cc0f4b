"""Information elements: order and octets kept, garbage refused, values never shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.iax2.constants import ElementType
from bridge.iax2.elements import (
    BLOCK_MAX_OCTETS,
    InformationElements,
    element_name,
    parse_elements_untrusted,
)
from bridge.iax2.errors import FrameError, LocalProtocolError

NUMBER = "12025550123"

PAIRS = st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=255)), max_size=12).map(tuple)


def encoded_octets(pairs: tuple[tuple[int, bytes], ...]) -> int:
    return sum(2 + len(value) for _, value in pairs)


def test_elements_are_type_length_and_value() -> None:
    block = bytes.fromhex("0b020002 0103656e63 3600")
    elements = parse_elements_untrusted(block)
    assert list(elements) == [
        (ElementType.VERSION, b"\x00\x02"),
        (ElementType.CALLED_NUMBER, b"enc"),
        (ElementType.CALLTOKEN, b""),
    ]
    assert elements.encode() == block


def test_a_builder_takes_octets_text_and_numbers_with_their_width() -> None:
    elements = InformationElements.of(
        (ElementType.VERSION, (2, 2)),
        (ElementType.CALLED_NUMBER, "enc"),
        (ElementType.FORMAT, (4, 4)),
        (ElementType.CALLTOKEN, b""),
    )
    assert elements.encode() == bytes.fromhex("0b020002 0103656e63 090400000004 3600")
    assert parse_elements_untrusted(elements.encode()) == elements


def test_no_elements() -> None:
    assert parse_elements_untrusted(b"") == InformationElements() == InformationElements.of()
    assert InformationElements().encode() == b""


@given(PAIRS.filter(lambda pairs: encoded_octets(pairs) <= BLOCK_MAX_OCTETS))
def test_elements_go_round_in_their_order(pairs: tuple[tuple[int, bytes], ...]) -> None:
    elements = InformationElements(pairs)
    assert parse_elements_untrusted(elements.encode()) == elements
    assert tuple(elements) == pairs


@given(PAIRS)
def test_a_builder_keeps_what_it_is_given(pairs: tuple[tuple[int, bytes], ...]) -> None:
    assert InformationElements.of(*pairs) == InformationElements(pairs)


@given(st.binary(max_size=400))
def test_garbage_is_elements_or_a_frame_error(block: bytes) -> None:
    try:
        elements = parse_elements_untrusted(block)
    except FrameError:
        return
    assert elements.encode() == block


@given(PAIRS.filter(lambda pairs: 0 < encoded_octets(pairs) <= BLOCK_MAX_OCTETS), st.data())
def test_a_block_cut_anywhere_is_refused_or_ends_at_an_element(
    pairs: tuple[tuple[int, bytes], ...], data: st.DataObject
) -> None:
    block = InformationElements(pairs).encode()
    cut = data.draw(st.integers(0, len(block) - 1))
    ends = [encoded_octets(pairs[:count]) for count in range(len(pairs))]
    if cut in ends:
        assert parse_elements_untrusted(block[:cut]).pairs == pairs[: ends.index(cut)]
    else:
        with pytest.raises(FrameError, match="cut short"):
            parse_elements_untrusted(block[:cut])


@pytest.mark.parametrize(
    ("block", "where"),
    [
        ("06", "before its length"),
        ("0b0200020b", "before its length"),
        ("0601", "before its end"),
        ("06ff616c696365", "before its end"),
        ("0b020002060561", "before its end"),
    ],
)
def test_an_element_that_is_cut_short(block: str, where: str) -> None:
    with pytest.raises(FrameError, match=where):
        parse_elements_untrusted(bytes.fromhex(block))


def test_a_block_is_at_most_1024_octets() -> None:
    largest = bytes.fromhex("0600") * 512
    assert len(tuple(parse_elements_untrusted(largest))) == 512
    with pytest.raises(FrameError, match="1025"):
        parse_elements_untrusted(largest + b"\x06")


def test_the_first_of_equal_elements_counts_and_all_are_kept() -> None:
    elements = parse_elements_untrusted(bytes.fromhex("060161 340178 060162"))
    assert elements.get(ElementType.USERNAME) == b"a"
    assert len(elements.pairs) == 3


def test_unknown_elements_are_kept() -> None:
    elements = parse_elements_untrusted(bytes.fromhex("fa03010203"))
    assert elements.get(0xFA) == b"\x01\x02\x03"


def test_presence_is_asked_by_type() -> None:
    elements = InformationElements.of((ElementType.CALLTOKEN, b""))
    assert ElementType.CALLTOKEN in elements
    assert ElementType.USERNAME not in elements


def test_text() -> None:
    elements = InformationElements.of(
        (ElementType.USERNAME, "bränch-7"), (ElementType.CAUSE, b"no\xffway")
    )
    assert elements.text(ElementType.USERNAME) == "bränch-7"
    assert elements.text(ElementType.CAUSE) == "no\ufffdway"
    assert elements.text(ElementType.CALLTOKEN) is None


def test_numbers() -> None:
    elements = InformationElements.of(
        (ElementType.REFRESH, (60, 2)), (ElementType.FORMAT2, b"\x00" + bytes(7) + b"\x04")
    )
    assert elements.uint(ElementType.REFRESH, 2) == 60
    assert elements.uint(ElementType.FORMAT2, 9) == 4
    assert elements.uint(ElementType.REFRESH, 4) is None
    assert elements.uint(ElementType.FORMAT, 4) is None


@pytest.mark.parametrize("value", [b"x" * 255, "x" * 255, (1, 255)])
def test_a_value_has_at_most_255_octets(value: bytes | str | tuple[int, int]) -> None:
    elements = InformationElements.of((ElementType.VARIABLE, value))
    assert parse_elements_untrusted(elements.encode()) == elements


@pytest.mark.parametrize("value", [NUMBER.encode() * 24, NUMBER * 24, "ü" * 128, (1, 256)])
def test_a_longer_value_is_the_callers_fault_and_does_not_show(
    value: bytes | str | tuple[int, int],
) -> None:
    with pytest.raises(LocalProtocolError, match="exceeds 255") as refusal:
        InformationElements.of((ElementType.CALLED_NUMBER, value))
    assert NUMBER not in str(refusal.value)


def test_a_repr_names_types_and_shows_no_value() -> None:
    elements = InformationElements.of(
        (ElementType.CALLED_NUMBER, NUMBER),
        (ElementType.MD5_RESULT, "e9425645c3b28c562760b954f3c302c7"),
        (0xFA, b"secret"),
    )
    assert repr(elements) == "InformationElements(CALLED_NUMBER, MD5_RESULT, 250)"
    assert str(elements) == repr(elements)


@given(st.integers(0, 255), st.text(st.sampled_from("23456789"), min_size=6, max_size=40))
def test_no_value_reaches_a_repr_or_a_refusal(element_type: int, number: str) -> None:
    elements = InformationElements.of((element_type, number))
    assert number not in repr(elements)
    with pytest.raises(FrameError) as refusal:
        parse_elements_untrusted(elements.encode()[:-1])
    assert number[:-1] not in str(refusal.value)


def test_elements_do_not_change() -> None:
    with pytest.raises(AttributeError):
        InformationElements().pairs = ()  # type: ignore[misc]  # what is proved


@pytest.mark.parametrize(
    ("element_type", "name"),
    [(1, "CALLED_NUMBER"), (57, "CALLINGANI2"), (0, "0"), (58, "58"), (255, "255")],
)
def test_names(element_type: int, name: str) -> None:
    assert element_name(element_type) == name
