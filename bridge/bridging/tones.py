"""Which tone stands for a CONTROL frame that comes after the answer.

On a channel that is already answered, Asterisk's Dial() sends CONTROL RINGING and no tone: without
these the caller would hear nothing.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from bridge.iax2 import ControlSubclass, Format
from bridge.media.codecs import is_g711
from bridge.media.sources import Source, Tone
from bridge.media.tones import ToneKind

_KINDS: Final[Mapping[int, ToneKind]] = MappingProxyType(
    {
        ControlSubclass.RINGING: ToneKind.RINGBACK,
        ControlSubclass.BUSY: ToneKind.BUSY,
        ControlSubclass.CONGESTION: ToneKind.CONGESTION,
    }
)


def tones_of(country: str) -> Callable[[int, Format], Source | None]:
    """Return what makes a country's tone for a CONTROL subclass in a format, or None.

    Tones are made in G.711 alone; in another codec the phone hears what the link sends, if it
    sends anything.

    Raises:
        ToneError: the country is not known.
    """
    Tone(country, ToneKind.BUSY, Format.ULAW)

    def tone(subclass: int, media_format: Format) -> Source | None:
        kind = _KINDS.get(subclass)
        if kind is None or not is_g711(media_format):
            return None
        return Tone(country, kind, media_format)

    return tone
