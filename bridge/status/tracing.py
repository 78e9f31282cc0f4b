"""`siax run --trace LINK`: the full frames of one link as `iax2 set debug on` shows them.

Numbers, callers and digits are masked unless they are asked for, keys and what makes keys always.
A slow reader of the trace costs lines of it, never time of the loop.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import TextIOWrapper
from typing import Final, TextIO

import structlog
import trio

from bridge.audit.wire import CALLER_ELEMENTS, element_text
from bridge.iax2 import Address, Format, FrameError
from bridge.iax2.constants import (
    DTMF_DIGITS,
    ControlSubclass,
    ElementType,
    FrameType,
    IaxSubclass,
)
from bridge.iax2.elements import element_name, parse_elements_untrusted
from bridge.iax2.frames import FullFrame
from bridge.log import masked_text
from bridge.status.observing import address_text

WAITING_MAX: Final = 1000
"""Frames that wait to be written."""
MASK: Final = "•"

_KEYS: Final = frozenset(
    {
        ElementType.CHALLENGE,
        ElementType.MD5_RESULT,
        ElementType.RSA_RESULT,
        ElementType.PASSWORD,
        ElementType.ENCKEY,
        ElementType.CALLTOKEN,
    }
)
"""An RTKEY's challenge is a key, an MD5 result is one in hex: they are shown to nobody."""
_KNOWN: Final = frozenset(ElementType)
_DIGITS: Final = (FrameType.DTMF_END, FrameType.DTMF_BEGIN)
_DIGIT_OF_SUBCLASS: Final = {ord(digit): digit for digit in DTMF_DIGITS}
_TYPE_NAMES: Final = {FrameType.DTMF_END: "DTMF_E", FrameType.DTMF_BEGIN: "DTMF_B"}
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class TraceRequest:
    """Whose frames are to be written to standard output, and whether their digits are."""

    link: str
    digits: bool


class FrameTrace:
    """Takes the engine's frames and writes those of one link.

    Args:
        peer: Returns where the link's peer is.
        out: Where to; written to by a thread.
        digits: Whether numbers, callers and digits are shown.
    """

    def __init__(self, peer: Callable[[], Address | None], out: TextIO, *, digits: bool) -> None:
        self._peer = peer
        self._out = out
        self._digits = digits
        if isinstance(out, TextIOWrapper):
            out.reconfigure(errors="replace")  # not every terminal has a sign for what is masked
        self._left_out = 0
        self._waiting, self._texts = trio.open_memory_channel[str](WAITING_MAX)

    def sent(self, frame: FullFrame, address: Address, *, encrypted: bool) -> None:
        """Write a frame of ours."""
        self._take("Tx", frame, address, encrypted=encrypted)

    def received(self, frame: FullFrame, address: Address, *, encrypted: bool) -> None:
        """Write a frame of the peer."""
        self._take("Rx", frame, address, encrypted=encrypted)

    def _take(self, way: str, frame: FullFrame, address: Address, *, encrypted: bool) -> None:
        if address != self._peer():
            return
        text = frame_text(way, frame, address, encrypted=encrypted, digits=self._digits)
        if self._left_out:
            text = f"... {self._left_out} frames are not shown: the output is too slow\n{text}"
        try:
            self._waiting.send_nowait(text)
            self._left_out = 0
        except trio.WouldBlock:
            self._left_out += 1

    async def run(self) -> None:
        """Write until cancelled, or until nobody reads any more."""
        async for text in self._texts:
            waiting = [text, *self._all_waiting()]
            try:
                await trio.to_thread.run_sync(self._write, "".join(waiting), abandon_on_cancel=True)
            except OSError as error:
                _log.warning("the trace ends: it cannot be written", why=error.strerror)
                return

    def _all_waiting(self) -> Iterator[str]:
        with suppress(trio.WouldBlock):
            while True:
                yield self._texts.receive_nowait()

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()


def frame_text(
    way: str, frame: FullFrame, address: Address, *, encrypted: bool, digits: bool
) -> str:
    """Return a frame in the notation of Asterisk's `iax2 set debug on`, its line ends included."""
    again = "Yes" if frame.retransmission else " No"
    name, how = _subclass_name(frame, digits=digits), "encrypted" if encrypted else "in clear"
    numbers = f"OSeqno: {frame.oseqno:03} ISeqno: {frame.iseqno:03}"
    calls = f"SCall: {frame.source_call_number:05}  DCall: {frame.destination_call_number:05}"
    lines = [
        f"{way}-Frame Retry[{again}] -- {numbers} Type: {_type_name(frame):<7} Subclass: {name}",
        f"   Timestamp: {frame.timestamp_ms:05}ms  {calls} {address_text(address)} {how}",
        *(f"   {line}" for line in _contents(frame, digits=digits)),
    ]
    return "\n".join(lines) + "\n"


def _type_name(frame: FullFrame) -> str:
    try:
        kind = FrameType(frame.frame_type)
    except ValueError:
        return f"({frame.frame_type}?)"
    return _TYPE_NAMES.get(kind, kind.name)


def _subclass_name(frame: FullFrame, *, digits: bool) -> str:
    try:
        match frame.frame_type:
            case FrameType.IAX:
                return IaxSubclass(frame.subclass).name
            case FrameType.CONTROL:
                return ControlSubclass(frame.subclass).name
            case FrameType.VOICE if frame.subclass in set(Format):
                return str(Format(frame.subclass).name)
            case kind if kind in _DIGITS:
                return _DIGIT_OF_SUBCLASS[frame.subclass] if digits else MASK
    except (ValueError, KeyError):
        return f"({frame.subclass}?)"
    return str(frame.subclass)


def _contents(frame: FullFrame, *, digits: bool) -> Iterator[str]:
    """Tell what a frame carries; what is no list of elements is voice, text or a caller's name."""
    if frame.frame_type != FrameType.IAX:
        if frame.data:
            yield f"({len(frame.data)} octets)"
        return
    try:
        pairs = parse_elements_untrusted(frame.data).pairs
    except FrameError:
        yield f"({len(frame.data)} octets that are no elements)"
        return
    for element_type, value in pairs:
        name = element_name(element_type).replace("_", " ")
        yield f"{name:<15} : {_value(element_type, value, digits=digits)}"


def _value(element_type: int, value: bytes, *, digits: bool) -> str:
    if element_type in _KEYS or element_type not in _KNOWN:
        return f"({len(value)} octets)"
    text = element_text(element_type, value)
    if digits:
        return text
    if element_type in CALLER_ELEMENTS:
        return MASK
    if element_type == ElementType.CALLED_NUMBER:
        # The one extension of all calls is a word, as shipped; a peer's NEW may name a number.
        return MASK if any(character.isdigit() for character in text) else text
    return masked_text(text) if element_type == ElementType.CAUSE else text
