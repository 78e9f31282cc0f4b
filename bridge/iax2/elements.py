"""Information elements: the type, length, data triples in the body of IAX frames."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Self

from bridge.iax2.constants import ElementType
from bridge.iax2.errors import FrameError, LocalProtocolError

_HEADER_OCTETS: Final = 2
_LENGTH_MAX_OCTETS: Final = 255
_FORMAT_BITS: Final = 64
WIDE_FORMATS_OCTETS: Final = 9
"""Of FORMAT2 and CAPABILITY2: a number so wide has a version octet of 0 before its 64 bits."""
BLOCK_MAX_OCTETS: Final = 1024
"""Asterisk's limit for all elements of a frame."""

ElementValue = bytes | str | tuple[int, int]
"""Octets as they are, text (UTF-8), or an unsigned number with its width in octets."""


@dataclass(frozen=True, slots=True, repr=False)
class InformationElements:
    """The elements of one frame in their order; a type may stand more than once.

    Its repr names the types alone: values can be numbers that must not show.

    Source: RFC 5456 section 8.6.
    """

    pairs: tuple[tuple[int, bytes], ...] = ()

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        return iter(self.pairs)

    def __contains__(self, element_type: int) -> bool:
        return any(present == element_type for present, _ in self.pairs)

    def __repr__(self) -> str:
        return f"InformationElements({', '.join(element_name(t) for t, _ in self.pairs)})"

    @classmethod
    def of(cls, *elements: tuple[int, ElementValue]) -> Self:
        """Build from (type, value) in order.

        Raises:
            LocalProtocolError: a value of more than 255 octets.
        """
        return cls(tuple([(int(kind), _octets(value)) for kind, value in elements]))

    def encode(self) -> bytes:
        """Return the block of octets for a frame's data."""
        return b"".join([bytes((t, len(value))) + value for t, value in self.pairs])

    def get(self, element_type: int) -> bytes | None:
        """Return the octets of the first element of that type."""
        for present, value in self.pairs:
            if present == element_type:
                return value
        return None

    def text(self, element_type: int) -> str | None:
        """Return the first element of that type as UTF-8 text, foreign octets replaced."""
        value = self.get(element_type)
        return None if value is None else value.decode(errors="replace")

    def uint(self, element_type: int, width_octets: int) -> int | None:
        """Return an unsigned big-endian number; None where absent or of another width."""
        value = self.get(element_type)
        if value is None or len(value) != width_octets:
            return None
        return int.from_bytes(value, "big")

    def formats(self, wide: ElementType, narrow: ElementType) -> int | None:
        """Return media formats as bits: of FORMAT2 or CAPABILITY2, else of what they widen.

        Source: Asterisk's elements 55 and 56, a version octet of 0 and 64 bits.
        """
        bits = self.uint(wide, WIDE_FORMATS_OCTETS)
        return bits if bits is not None and not bits >> _FORMAT_BITS else self.uint(narrow, 4)


def parse_elements_untrusted(data: bytes) -> InformationElements:
    """Read a frame's block of elements; unknown types are kept.

    Raises:
        FrameError: an element that ends beyond the block, or a block of over 1024 octets.

    Source: RFC 5456 section 8.6.
    """
    if len(data) > BLOCK_MAX_OCTETS:
        raise FrameError(f"{len(data)} octets of information elements exceed {BLOCK_MAX_OCTETS}")
    pairs = []
    position = 0
    while position < len(data):
        start = position + _HEADER_OCTETS
        if start > len(data):
            raise FrameError("an information element is cut short before its length")
        end = start + data[position + 1]
        if end > len(data):
            raise FrameError("an information element is cut short before its end")
        pairs.append((data[position], data[start:end]))
        position = end
    return InformationElements(tuple(pairs))


def element_name(element_type: int) -> str:
    """Return the RFC's name of an element type, or its number where it is unknown."""
    try:
        return ElementType(element_type).name
    except ValueError:
        return str(element_type)


def _octets(value: ElementValue) -> bytes:
    match value:
        case bytes():
            octets = value
        case str():
            octets = value.encode()
        case _:
            number, width_octets = value
            octets = number.to_bytes(width_octets, "big")
    if len(octets) > _LENGTH_MAX_OCTETS:
        raise LocalProtocolError(f"an information element of {len(octets)} octets exceeds 255")
    return octets
