"""What the telephone networks of the world play for ringing, busy and congested lines, as data.

Owns the cadences. Must not know how they become audio.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from bridge.errors import BridgeError


class ToneError(BridgeError):
    """No such country; the text names those that there are."""


class ToneKind(StrEnum):
    """What a caller is told without words."""

    RINGBACK = "ringback"
    BUSY = "busy"
    CONGESTION = "congestion"


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of one sound.

    Attributes:
        frequencies_hz: Sounding together; none for a pause.
        duration_ms: Above 0.
        modulated: The second frequency modulates the amplitude of the first.
        attenuation_db: Below the usual level.
    """

    frequencies_hz: tuple[int, ...]
    duration_ms: int
    modulated: bool = False
    attenuation_db: int = 0


_ELEMENT: Final = re.compile(
    r"(?P<first>\d+)((?P<sign>[+*])(?P<second>\d+))?(-(?P<db>\d+))?/(?P<ms>\d+)", re.ASCII
)


def parse_cadence(notation: str) -> tuple[Segment, ...]:
    """Read the notation of this module, which follows that of Asterisk's indications.conf.

    Elements follow each other and begin anew after the last: `440+480/2000` is two frequencies in
    Hz for as many milliseconds, `0/4000` a pause, `400*16/1000` 400 Hz whose amplitude is
    modulated with 16 Hz, and `425-10/375` lies 10 dB below the usual level.

    Raises:
        ValueError: It is written otherwise.
    """
    return tuple(_parse_element(element) for element in notation.split())


def _parse_element(element: str) -> Segment:
    match = _ELEMENT.fullmatch(element)
    if match is None or not int(match["ms"]):
        raise ValueError(f"no element of a cadence: {element!r}")
    frequencies = tuple(int(match[name] or 0) for name in ("first", "second"))
    return Segment(
        tuple(frequency for frequency in frequencies if frequency),
        int(match["ms"]),
        modulated=match["sign"] == "*",
        attenuation_db=int(match["db"] or 0),
    )


# Ringback, busy, congestion. Sources: the supplement to ITU-T E.180, and Asterisk's
# indications.conf. Japan's ringback is modulated, as NTT has it, not a sum as in Asterisk.
_CADENCES: Final[Mapping[str, tuple[str, str, str]]] = {
    "at": ("420/1000 0/5000", "420/400 0/400", "420/200 0/200"),
    "au": (
        "413+438/400 0/200 413+438/400 0/2000",
        "425/375 0/375",
        "425/375 0/375 425-10/375 0/375",
    ),
    "be": ("425/1000 0/3000", "425/500 0/500", "425/167 0/167"),
    "bg": ("425/1000 0/4000", "425/500 0/500", "425/250 0/250"),
    "br": ("425/1000 0/4000", "425/250 0/250", "425/250 0/250 425/750 0/250"),
    "ca": ("440+480/2000 0/4000", "480+620/500 0/500", "480+620/250 0/250"),
    "ch": ("425/1000 0/4000", "425/500 0/500", "425/200 0/200"),
    "cn": ("450/1000 0/4000", "450/350 0/350", "450/700 0/700"),
    "cz": ("425/1000 0/4000", "425/330 0/330", "425/165 0/165"),
    "de": ("425/1000 0/4000", "425/480 0/480", "425/240 0/240"),
    "dk": ("425/1000 0/4000", "425/500 0/500", "425/200 0/200"),
    "ee": ("425/1000 0/4000", "425/300 0/300", "425/200 0/200"),
    "es": ("425/1500 0/3000", "425/200 0/200", "425/200 0/200 425/200 0/200 425/200 0/600"),
    "fi": ("425/1000 0/4000", "425/300 0/300", "425/200 0/200"),
    "fr": ("440/1500 0/3500", "440/500 0/500", "440/250 0/250"),
    "gb": ("400+450/400 0/200 400+450/400 0/2000", "400/375 0/375", "400/400 0/350 400/225 0/525"),
    "gr": ("425/1000 0/4000", "425/300 0/300", "425/200 0/200"),
    "hu": ("425/1250 0/3750", "425/300 0/300", "425/300 0/300"),
    "il": ("414/1000 0/3000", "414/500 0/500", "414/250 0/250"),
    "in": ("400*25/400 0/200 400*25/400 0/2000", "400/750 0/750", "400/250 0/250"),
    "it": ("425/1000 0/4000", "425/500 0/500", "425/200 0/200"),
    "jp": ("400*16/1000 0/2000", "400/500 0/500", "400/500 0/500"),
    "lt": ("425/1000 0/4000", "425/350 0/350", "425/200 0/200"),
    "mx": ("425/1000 0/4000", "425/250 0/250", "425/250 0/250"),
    "nl": ("425/1000 0/4000", "425/500 0/500", "425/250 0/250"),
    "no": ("425/1000 0/4000", "425/500 0/500", "425/200 0/200"),
    "nz": ("400+450/400 0/200 400+450/400 0/2000", "400/500 0/500", "400/250 0/250"),
    "pl": ("425/1000 0/4000", "425/500 0/500", "425/500 0/500"),
    "pt": ("425/1000 0/5000", "425/500 0/500", "425/200 0/200"),
    "ru": ("425/1000 0/4000", "425/350 0/350", "425/175 0/175"),
    "se": ("425/1000 0/5000", "425/250 0/250", "425/250 0/750"),
    "sg": ("425*24/400 0/200 425*24/400 0/2000", "425/750 0/750", "425/250 0/250"),
    "uk": ("400+450/400 0/200 400+450/400 0/2000", "400/375 0/375", "400/400 0/350 400/225 0/525"),
    "us": ("440+480/2000 0/4000", "480+620/500 0/500", "480+620/250 0/250"),
    "za": ("400*33/400 0/200 400*33/400 0/2000", "400/500 0/500", "400/250 0/250"),
}

COUNTRIES: Final = tuple(_CADENCES)
"""Two-letter codes of ISO 3166, and uk beside gb."""


def cadence(country: str, kind: ToneKind | str) -> tuple[Segment, ...]:
    """Return what a network plays, to be repeated without end.

    Args:
        country: One of COUNTRIES, in either case.
        kind: A ToneKind or its value.

    Raises:
        ToneError: The country is not known.
        ValueError: The kind is none.
    """
    try:
        notations = _CADENCES[country.lower()]
    except KeyError:
        known = ", ".join(COUNTRIES)
        raise ToneError(f"no tones for country {country!r}; known: {known}") from None
    return parse_cadence(notations[tuple(ToneKind).index(ToneKind(kind))])
