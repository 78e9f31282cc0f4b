"""What octets on the link tell somebody without keys: headers, clear elements, sizes and no more.

A frame is judged by itself, never by what it should be: one that reads as a frame in clear is
called so, wherever in the call it stands.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from bridge.audit.packets import peer_text
from bridge.iax2 import Format, FrameError
from bridge.iax2.cipher import BLOCK_OCTETS, FULL_CLEAR_OCTETS, MINI_CLEAR_OCTETS
from bridge.iax2.constants import (
    CODEC_PREFERENCE_LETTERS,
    AuthMethod,
    ControlSubclass,
    ElementType,
    Encryption,
    FrameType,
    IaxSubclass,
)
from bridge.iax2.elements import element_name, parse_elements_untrusted
from bridge.iax2.frames import FullFrame, parse_frame_untrusted

CALLER_ELEMENTS: Final = frozenset(
    {
        ElementType.CALLING_NUMBER,
        ElementType.CALLING_ANI,
        ElementType.CALLING_NAME,
        ElementType.CALLED_CONTEXT,
        ElementType.LANGUAGE,
        ElementType.DNID,
        ElementType.RDNIS,
        ElementType.DATETIME,
        ElementType.VARIABLE,
        ElementType.CALLINGANI2,
    }
)
"""Elements that tell who calls whom; a NEW of ours has none of them."""

SIGNAL_OCTETS: Final = 36
"""Every encrypted full frame without data: a digit, comfort noise, CONTROL, ACK, HANGUP."""
ENCRYPTED_MIN_OCTETS: Final = 2 * BLOCK_OCTETS

_IAX_SUBCLASSES: Final = frozenset(IaxSubclass)
_ELEMENT_TYPES: Final = frozenset(ElementType)
_EARLY_MS: Final = 1 << 22
_FEW_FRAMES: Final = 64
_NUMBER_OCTETS_MAX: Final = 4
_CODEC_OF_LETTER: Final = {
    letter: str(codec.name) for codec, letter in CODEC_PREFERENCE_LETTERS.items()
}
_TEXTS: Final = (
    *CALLER_ELEMENTS,
    ElementType.CALLED_NUMBER,
    ElementType.USERNAME,
    ElementType.CHALLENGE,
    ElementType.CAUSE,
    ElementType.CALLTOKEN,
    ElementType.MD5_RESULT,
    ElementType.PASSWORD,
)


class Kind(Enum):
    """What a datagram looks like from outside."""

    CLEAR = "in clear"
    ENCRYPTED = "encrypted"
    MINI = "encrypted audio"
    UNKNOWN = "not understood"


@dataclass(frozen=True, slots=True)
class Reading:
    """What an eavesdropper reads in one datagram.

    Attributes:
        kind: How it looks.
        source_call_number: In clear in every frame.
        destination_call_number: In clear in full frames; None in mini frames.
        name: Of the frame, where it is in clear.
        fields: The rest of its header, where it is in clear.
        elements: Names and values of its elements, where it is in clear.
        element_types: The elements' numbers.
        retransmission: The R bit, in clear in full frames.
    """

    kind: Kind
    source_call_number: int = 0
    destination_call_number: int | None = None
    name: str = ""
    fields: str = ""
    elements: tuple[tuple[str, str], ...] = ()
    element_types: frozenset[int] = frozenset()
    retransmission: bool = False


def read_datagram(datagram: bytes) -> Reading:
    """Read what can be read without a key."""
    if len(datagram) <= FULL_CLEAR_OCTETS:
        return Reading(Kind.UNKNOWN)
    if not datagram[0] & 0x80:
        return _read_mini(datagram)
    frame = clear_frame(datagram)
    if frame is not None:
        return _read_clear(frame)
    destination = int.from_bytes(datagram[2:4], "big")
    return Reading(
        Kind.ENCRYPTED if is_encrypted_size(len(datagram) - FULL_CLEAR_OCTETS) else Kind.UNKNOWN,
        int.from_bytes(datagram[:2], "big") & 0x7FFF,
        destination & 0x7FFF,
        retransmission=bool(destination & 0x8000),
    )


def _read_mini(datagram: bytes) -> Reading:
    kind = Kind.MINI if is_encrypted_size(len(datagram) - MINI_CLEAR_OCTETS) else Kind.CLEAR
    name = "" if kind is Kind.MINI else "audio"
    return Reading(kind, int.from_bytes(datagram[:2], "big"), name=name)


def is_encrypted_size(octets: int) -> bool:
    """Tell whether what follows the clear octets of a frame can be encrypted, by its size."""
    return octets >= ENCRYPTED_MIN_OCTETS and octets % BLOCK_OCTETS == 0


def clear_frame(datagram: bytes) -> FullFrame | None:
    """Return a full frame in clear, None for what is none.

    A size that encryption cannot make is clear. For one that it can, type, subclass, elements,
    numbers and time must all make sense: random octets do so in one of a hundred million frames.
    """
    try:
        frame = parse_frame_untrusted(datagram)
    except FrameError:
        return None
    if not isinstance(frame, FullFrame):
        return None
    if not is_encrypted_size(len(datagram) - FULL_CLEAR_OCTETS):
        return frame
    return frame if _makes_sense(frame) else None


def _makes_sense(frame: FullFrame) -> bool:
    if frame.frame_type != FrameType.IAX or frame.subclass not in _IAX_SUBCLASSES:
        return False
    try:
        elements = parse_elements_untrusted(frame.data)
    except FrameError:
        return False
    known = all(element_type in _ELEMENT_TYPES for element_type, _ in elements)
    early = frame.timestamp_ms < _EARLY_MS and max(frame.oseqno, frame.iseqno) < _FEW_FRAMES
    return known and early


def _read_clear(frame: FullFrame) -> Reading:
    try:
        pairs = parse_elements_untrusted(frame.data).pairs
    except FrameError:
        pairs = ()
    return Reading(
        Kind.CLEAR,
        frame.source_call_number,
        frame.destination_call_number,
        _frame_name(frame),
        f"timestamp {frame.timestamp_ms} ms, oseqno {frame.oseqno}, iseqno {frame.iseqno}",
        tuple((element_name(t), element_text(t, value)) for t, value in pairs),
        frozenset(t for t, _ in pairs),
        frame.retransmission,
    )


def _frame_name(frame: FullFrame) -> str:
    try:
        frame_type = FrameType(frame.frame_type)
        match frame_type:
            case FrameType.IAX:
                return IaxSubclass(frame.subclass).name
            case FrameType.CONTROL:
                return f"CONTROL {ControlSubclass(frame.subclass).name}"
    except ValueError:
        return f"type {frame.frame_type} subclass {frame.subclass}"
    return frame_type.name


def element_text(element_type: int, value: bytes) -> str:
    """Return an element's value as people read it; octets that are none of a text stay hex."""
    return _ELEMENT_TEXTS.get(element_type, _number)(value)


def _number(value: bytes) -> str:
    if len(value) > _NUMBER_OCTETS_MAX:
        return value.hex()
    return str(int.from_bytes(value, "big"))


def _text(value: bytes) -> str:
    text = value.decode("ascii", errors="replace")
    shown = text if text.isascii() and text.isprintable() else value.hex()
    return shown or "(empty)"


def _codecs(value: bytes) -> str:
    names = [_CODEC_OF_LETTER.get(chr(letter)) for letter in value]
    return ", ".join(filter(None, names)) if names and all(names) else _text(value)


def _address(value: bytes) -> str:
    """A socket address as Linux on little-endian machines keeps it; hex for what is none."""
    match value[:2], len(value):
        case (b"\x02\x00", 16):
            host = value[4:8]
        case (b"\x0a\x00", 28):
            host = value[8:24]
        case _:
            return value.hex()
    return peer_text((host, int.from_bytes(value[2:4], "big")))


def _flags(names: type[Format | AuthMethod | Encryption]) -> Callable[[bytes], str]:
    def text(value: bytes) -> str:
        number = int.from_bytes(value, "big")
        return ", ".join(str(flag.name) for flag in names if flag & number) or str(number)

    return text


_ELEMENT_TEXTS: Final[Mapping[int, Callable[[bytes], str]]] = {
    **dict.fromkeys(_TEXTS, _text),
    ElementType.CODEC_PREFS: _codecs,
    ElementType.APPARENT_ADDR: _address,
    ElementType.FORMAT: _flags(Format),
    ElementType.CAPABILITY: _flags(Format),
    ElementType.AUTHMETHODS: _flags(AuthMethod),
    ElementType.ENCRYPTION: _flags(Encryption),
}
