"""Looks for a number or a name in everything that went over the link, in every form it may have.

Decodes nothing: whoever looks for a number must not need to understand the frames.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeVar

_NEEDLE_MIN_OCTETS: Final = 4
"""Shorter ones stand in random octets by chance."""
_BLOCK_OCTETS: Final = 16

_Way = TypeVar("_Way")


def forms_of(text: str) -> Mapping[str, bytes]:
    """Return how a number or a name may stand in octets, by the form's name."""
    forms = {
        "ASCII": text.encode(),
        "ASCII reversed": text[::-1].encode(),
        "UTF-16": text.encode("utf-16-be"),
    }
    if text.isascii() and text.isdigit():
        forms |= _forms_of_digits(text)
    return {name: octets for name, octets in forms.items() if len(octets) >= _NEEDLE_MIN_OCTETS}


def _forms_of_digits(digits: str) -> dict[str, bytes]:
    number = int(digits)
    octets = (number.bit_length() + 7) // 8
    forms = {
        "digit values": bytes(map(int, digits)),
        "binary": number.to_bytes(octets, "big"),
        "binary, low octet first": number.to_bytes(octets, "little"),
    }
    # From an odd digit on, the number may begin in the low half of an octet.
    for start in (0, 1):
        pairs = [digits[at : at + 2] for at in range(start, len(digits) - 1, 2)]
        forms[f"BCD from digit {start + 1}"] = bytes(int(pair, 16) for pair in pairs)
        forms[f"BCD swapped from digit {start + 1}"] = bytes(int(p[::-1], 16) for p in pairs)
    return forms


def find_text(datagrams: Sequence[tuple[_Way, bytes]], text: str) -> tuple[str, ...]:
    """Return the names of the forms in which a text stands on the link; nothing is what is hoped.

    Looks within datagrams, and at one place of successive datagrams of one way and size: digits
    are sent one by one.

    Args:
        datagrams: Each with the way it went, in order.
        text: A number or a name.
    """
    haystacks = [payload for _, payload in datagrams]
    haystacks += _columns(datagrams)
    return tuple(
        name for name, needle in forms_of(text).items() if any(needle in hay for hay in haystacks)
    )


def _columns(datagrams: Iterable[tuple[_Way, bytes]]) -> Iterator[bytes]:
    alike: dict[tuple[_Way, int], list[bytes]] = defaultdict(list)
    for way, payload in datagrams:
        alike[way, len(payload)].append(payload)
    for payloads in alike.values():
        yield from map(bytes, zip(*payloads, strict=True))


def repeated_blocks(encrypted: Iterable[bytes]) -> int:
    """Count blocks of 16 octets that stand more than once: equal ones would show equal audio.

    Args:
        encrypted: The encrypted part of each frame.
    """
    blocks = Counter(
        part[at : at + _BLOCK_OCTETS]
        for part in encrypted
        for at in range(0, len(part), _BLOCK_OCTETS)
    )
    return sum(times > 1 for times in blocks.values())
