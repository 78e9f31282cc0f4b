"""Which tone a CONTROL frame becomes."""

import pytest

from bridge.bridging.tones import tones_of
from bridge.iax2 import ControlSubclass, Format
from bridge.media.sources import Source, Tone
from bridge.media.tones import COUNTRIES, ToneError, ToneKind

KINDS = {
    ControlSubclass.RINGING: ToneKind.RINGBACK,
    ControlSubclass.BUSY: ToneKind.BUSY,
    ControlSubclass.CONGESTION: ToneKind.CONGESTION,
}


def start_of(source: Source) -> list[bytes]:
    return [source.next_frame() for _ in range(50)]


@pytest.mark.parametrize("country", sorted(COUNTRIES))
@pytest.mark.parametrize("subclass", KINDS)
def test_each_country_has_its_own_sound(country: str, subclass: ControlSubclass) -> None:
    source = tones_of(country)(subclass, Format.ALAW)
    assert source is not None
    assert start_of(source) == start_of(Tone(country, KINDS[subclass], Format.ALAW))


def test_the_tone_is_in_the_format_of_the_phone() -> None:
    tone = tones_of("de")
    in_ulaw, in_alaw = (tone(ControlSubclass.BUSY, f) for f in (Format.ULAW, Format.ALAW))
    assert in_ulaw is not None
    assert in_alaw is not None
    assert start_of(in_ulaw) != start_of(in_alaw)


@pytest.mark.parametrize("subclass", [*(set(ControlSubclass) - set(KINDS)), 63])
def test_all_else_is_silent(subclass: int) -> None:
    assert tones_of("us")(subclass, Format.ULAW) is None


def test_each_call_has_a_tone_of_its_own() -> None:
    tone = tones_of("us")
    assert tone(ControlSubclass.BUSY, Format.ULAW) is not tone(ControlSubclass.BUSY, Format.ULAW)


def test_an_unknown_country_is_told_at_the_start() -> None:
    with pytest.raises(ToneError):
        tones_of("atlantis")
