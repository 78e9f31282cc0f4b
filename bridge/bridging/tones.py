"""Which tone stands for a CONTROL frame that comes after the answer.

On a channel that is already answered, Asterisk's Dial() sends CONTROL RINGING and no tone: without
these the caller would hear nothing.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from bridge.iax2 import ControlSubclass, Format
from bridge.media.call_media import CallMedia
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


class FarTones:
    """What a phone hears for what the far end tells after its answer, until voice comes.

    Args:
        media: The call's.
        tone: Makes the tone that stands for a CONTROL subclass in a format, None where none does.
    """

    def __init__(self, media: CallMedia, tone: Callable[[int, Format], Source | None]) -> None:
        self._media = media
        self._tone = tone
        self._control: int | None = None

    def play(self, subclass: int, now: float) -> None:
        """Begin the tone of a CONTROL frame, or end it with STOP_TONES."""
        media_format = self._media.format
        tone = None if media_format is None else self._tone(subclass, media_format)
        if tone is not None:
            self._control = subclass
            self._media.play(tone, now, until_voice=True)
        elif subclass == ControlSubclass.STOP_TONES and self._control is not None:
            self._control = None
            self._media.play(None, now)

    def play_again(self, now: float) -> None:
        """Go on in another codec of the phone."""
        if self._control is not None and self._media.speaking:
            self.play(self._control, now)


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
