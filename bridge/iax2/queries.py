"""Replies to frames that ask something of the engine itself and change no state."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from bridge.iax2.constants import ElementType, IaxSubclass
from bridge.iax2.elements import InformationElements
from bridge.iax2.frames import FullFrame
from bridge.iax2.voice import VoicePath


class Reply(NamedTuple):
    """An IAX frame to send back; `echoes` asks for the timestamp of the question."""

    subclass: IaxSubclass
    data: bytes
    echoes: bool


_SILENT: Final = frozenset(
    {
        IaxSubclass.PONG,
        IaxSubclass.LAGRP,
        IaxSubclass.QUELCH,
        IaxSubclass.UNQUELCH,
        IaxSubclass.TXREL,
        IaxSubclass.TXREJ,
        IaxSubclass.TRANSFER,
        IaxSubclass.UNSUPPORT,
        IaxSubclass.MWI,
    }
)
"""What an ACK alone answers."""

_EMPTY_REPLIES: Final[Mapping[int, Reply]] = MappingProxyType(
    {
        IaxSubclass.LAGRQ: Reply(IaxSubclass.LAGRP, b"", echoes=True),
        # Native transfer would move the call's media away from where it is encrypted.
        IaxSubclass.TXREQ: Reply(IaxSubclass.TXREJ, b"", echoes=False),
    }
)


def reply_to_query(frame: FullFrame, voice: VoicePath | None) -> Reply | None:
    """Return the reply to an IAX frame, or None where its ACK is all.

    What we do not know is answered with UNSUPPORT and its subclass.

    Source: RFC 5456 sections 6.7 and 6.9.
    """
    if frame.subclass in (IaxSubclass.PING, IaxSubclass.POKE):
        return Reply(IaxSubclass.PONG, receiver_report(voice).encode(), echoes=True)
    if frame.subclass in _EMPTY_REPLIES:
        return _EMPTY_REPLIES[frame.subclass]
    if frame.subclass in _SILENT:
        return None
    unknown = InformationElements.of((ElementType.IAX_UNKNOWN, (frame.subclass & 0xFF, 1)))
    return Reply(IaxSubclass.UNSUPPORT, unknown.encode(), echoes=False)


def receiver_report(voice: VoicePath | None) -> InformationElements:
    """Return the elements that tell a peer how its voice arrives: fixed widths, so fixed size.

    Source: RFC 5456 sections 8.6.31 to 8.6.36.
    """
    jitter_ms, lost, received, dropped, out_of_order = (
        (0, 0, 0, 0, 0)
        if voice is None
        else (
            int(voice.jitter_ms),
            voice.lost,
            voice.received,
            voice.dropped_implausible + voice.dropped_size,
            voice.out_of_order,
        )
    )
    share = min(100 * lost // max(lost + received, 1), 100)
    return InformationElements.of(
        (ElementType.RR_JITTER, (jitter_ms & 0xFFFFFFFF, 4)),
        (ElementType.RR_LOSS, (share << 24 | min(lost, 0xFFFFFF), 4)),
        (ElementType.RR_PKTS, (received & 0xFFFFFFFF, 4)),
        (ElementType.RR_DELAY, (0, 2)),
        (ElementType.RR_DROPPED, (dropped & 0xFFFFFFFF, 4)),
        (ElementType.RR_OOO, (out_of_order & 0xFFFFFFFF, 4)),
    )
