"""Replies to frames that ask something of the engine itself and change no state."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from bridge.iax2.constants import ElementType, IaxSubclass
from bridge.iax2.elements import InformationElements
from bridge.iax2.frames import FullFrame
from bridge.iax2.reports import ReceptionReport
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
        return Reply(IaxSubclass.PONG, ReceptionReport.of(voice).elements().encode(), echoes=True)
    if frame.subclass in _EMPTY_REPLIES:
        return _EMPTY_REPLIES[frame.subclass]
    if frame.subclass in _SILENT:
        return None
    unknown = InformationElements.of((ElementType.IAX_UNKNOWN, (frame.subclass & 0xFF, 1)))
    return Reply(IaxSubclass.UNSUPPORT, unknown.encode(), echoes=False)
