"""The cadences of bridge/media/tones.py."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import BridgeError
from bridge.media.tones import COUNTRIES, Segment, ToneError, ToneKind, cadence, parse_cadence

ASKED_FOR = "us uk de fr nl it es ch at se no dk fi pl be au nz jp"


def test_the_countries_asked_for_are_known() -> None:
    assert set(ASKED_FOR.split()) <= set(COUNTRIES)
    assert list(COUNTRIES) == sorted(COUNTRIES)


@pytest.mark.parametrize("kind", ToneKind)
@pytest.mark.parametrize("country", COUNTRIES)
def test_every_cadence_sounds_and_pauses(country: str, kind: ToneKind) -> None:
    segments = cadence(country, kind)
    assert segments[0].frequencies_hz
    assert not segments[-1].frequencies_hz
    for segment in segments:
        assert all(10 <= hz <= 1000 for hz in segment.frequencies_hz)
        assert 100 <= segment.duration_ms <= 5000


@pytest.mark.parametrize(
    ("country", "kind", "expected"),
    [
        ("us", "ringback", [((440, 480), 2000), ((), 4000)]),
        ("us", "busy", [((480, 620), 500), ((), 500)]),
        ("us", "congestion", [((480, 620), 250), ((), 250)]),
        ("uk", "ringback", [((400, 450), 400), ((), 200), ((400, 450), 400), ((), 2000)]),
        ("uk", "congestion", [((400,), 400), ((), 350), ((400,), 225), ((), 525)]),
        ("de", "ringback", [((425,), 1000), ((), 4000)]),
        ("de", "busy", [((425,), 480), ((), 480)]),
        ("fr", "ringback", [((440,), 1500), ((), 3500)]),
        ("se", "congestion", [((425,), 250), ((), 750)]),
    ],
)
def test_known_cadences(
    country: str, kind: str, expected: list[tuple[tuple[int, ...], int]]
) -> None:
    assert [(s.frequencies_hz, s.duration_ms) for s in cadence(country, kind)] == expected


def test_modulated_and_quieter_segments() -> None:
    assert cadence("jp", ToneKind.RINGBACK)[0] == Segment((400, 16), 1000, modulated=True)
    assert cadence("au", ToneKind.CONGESTION)[2] == Segment((425,), 375, attenuation_db=10)


def test_great_britain_has_both_its_codes_in_either_case() -> None:
    assert cadence("GB", "busy") == cadence("uk", "busy")


def test_an_unknown_country_is_told_the_known_ones() -> None:
    with pytest.raises(ToneError, match=r"'xx'; known: at, au, .*, us, za") as caught:
        cadence("xx", "busy")
    assert isinstance(caught.value, BridgeError)


def test_an_unknown_kind_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="dial"):
        cadence("us", "dial")


@pytest.mark.parametrize("notation", ["440", "440/0", "440+/10", "+480/10", "440/10,0/10", "٤/10"])
def test_bad_notation(notation: str) -> None:
    with pytest.raises(ValueError, match="no element"):
        parse_cadence(notation)


@given(st.text("0123456789+*-/ ", max_size=40))
def test_any_notation_parses_or_is_a_value_error(notation: str) -> None:
    try:
        segments = parse_cadence(notation)
    except ValueError:
        return
    assert len(segments) == len(notation.split())
    assert all(segment.duration_ms > 0 for segment in segments)
