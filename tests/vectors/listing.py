"""Writes a frame as the listings beside the captures do, so that each line can be compared."""

from typing import Final

from bridge.iax2.constants import ControlSubclass, ElementType, FrameType, IaxSubclass
from bridge.iax2.elements import element_name, parse_elements_untrusted
from bridge.iax2.frames import FullFrame, MiniFrame, parse_frame_untrusted
from tests.vectors.reference import OpenedFrame

_TEXT_ELEMENTS: Final = frozenset(
    {
        ElementType.CALLED_NUMBER,
        ElementType.CODEC_PREFS,
        ElementType.LANGUAGE,
        ElementType.USERNAME,
        ElementType.CHALLENGE,
        ElementType.MD5_RESULT,
        ElementType.CALLTOKEN,
    }
)
_NAMELESS_ELEMENTS: Final = frozenset({ElementType.ADSICPE})
"""Those that the listings show by number."""


def listing_line(opened: OpenedFrame) -> str:
    """Return the line of a frame: when, whence, whither, size and every field."""
    datagram = opened.datagram
    frame = parse_frame_untrusted(opened.clear)
    return (
        f"{datagram.number:5d} {datagram.elapsed_s:10.6f} {datagram.source}->{datagram.destination}"
        f" len={len(datagram.octets):3d} {_frame_text(frame, '*' if opened.key else ' ')}"
    )


def _frame_text(frame: FullFrame | MiniFrame, encrypted: str) -> str:
    if isinstance(frame, MiniFrame):
        return (
            f" MINI{encrypted} sc={frame.source_call_number} ts16={frame.timestamp_ms}"
            f" {len(frame.data)}B"
        )
    return (
        f"FULL{encrypted} sc={frame.source_call_number} dc={frame.destination_call_number}"
        f"{'R' if frame.retransmission else ''} ts={frame.timestamp_ms}"
        f" o={frame.oseqno} i={frame.iseqno} {_meaning(frame)}"
    )


def _meaning(frame: FullFrame) -> str:
    frame_type = FrameType(frame.frame_type)
    return f"{frame_type.name} {_subclass_text(frame_type, frame.subclass)} {_data_text(frame)}"


def _subclass_text(frame_type: FrameType, subclass: int) -> str:
    match frame_type:
        case FrameType.IAX:
            return IaxSubclass(subclass).name
        case FrameType.DTMF_BEGIN | FrameType.DTMF_END:
            return chr(subclass)
        case FrameType.CONTROL if subclass != ControlSubclass.STOP_TONES:
            return ControlSubclass(subclass).name
        case _:
            return str(subclass)


def _data_text(frame: FullFrame) -> str:
    if frame.frame_type == FrameType.IAX:
        elements = parse_elements_untrusted(frame.data)
        return " ".join(_element_text(element_type, value) for element_type, value in elements)
    return f"+{len(frame.data)}B" if frame.data else ""


def _element_text(element_type: int, value: bytes) -> str:
    nameless = element_type in _NAMELESS_ELEMENTS
    name = str(element_type) if nameless else element_name(element_type)
    # An RTKEY's CHALLENGE is raw octets, an AUTHREQ's is text.
    text = element_type in _TEXT_ELEMENTS and value.isascii() and value.decode().isprintable()
    return f"{name}={value.decode() if text else value.hex()}"
