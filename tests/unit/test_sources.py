"""The sounds that the bridge makes: levels, cadences, seams and what they cost."""

from itertools import pairwise
from math import log10

import pytest

from bridge.iax2.constants import Format
from bridge.media import codecs
from bridge.media.codecs import CodecError
from bridge.media.sources import CodecSilence, ContinuousTone, Source, Tone
from bridge.media.tone_detector import ToneDetector
from bridge.media.tones import COUNTRIES, ToneError, ToneKind, cadence

ULAW, ALAW = Format.ULAW, Format.ALAW
LAWS = pytest.mark.parametrize("format_", [ULAW, ALAW])


def play(source: Source, frames: int) -> bytes:
    audio = [source.next_frame() for _ in range(frames)]
    assert {len(frame) for frame in audio} == {160}
    return b"".join(audio)


def level_dbm0(format_: Format, audio: bytes) -> float:
    samples = codecs.decode(format_, audio)
    power = sum(sample * sample for sample in samples) / len(samples)
    return 10 * log10(power * 2 / codecs.peak_of_0_dbm0(format_) ** 2)


def steepest(format_: Format, audio: bytes) -> int:
    samples = codecs.decode(format_, audio)
    return max(abs(b - a) for a, b in pairwise(samples))


def test_silence_of_each_law() -> None:
    assert play(CodecSilence(ULAW), 3) == b"\xff" * 480
    assert play(CodecSilence(ALAW), 3) == b"\xd5" * 480


@LAWS
@pytest.mark.parametrize("frequency_hz", [300, 1000, 1004, 3001])
def test_continuous_tone_is_pure_over_its_seams(format_: Format, frequency_hz: int) -> None:
    source = ContinuousTone(format_, frequency_hz, -10.0)
    detector = ToneDetector(frequency_hz, format_)
    detector.receive(play(source, 130))
    assert detector.level_dbm0 == pytest.approx(-10, abs=0.05)
    assert detector.share > 0.999
    assert detector.discontinuities == 0


@LAWS
def test_the_default_is_a_milliwatt_at_1004_hz(format_: Format) -> None:
    detector = ToneDetector(1004, format_)
    detector.receive(play(ContinuousTone(format_), 50))
    assert detector.level_dbm0 == pytest.approx(0, abs=0.05)
    assert detector.detected


@LAWS
@pytest.mark.parametrize("kind", ToneKind)
@pytest.mark.parametrize("country", COUNTRIES)
def test_a_tone_keeps_its_cadence_and_never_clicks(
    country: str, kind: ToneKind, format_: Format
) -> None:
    segments = cadence(country, kind)
    period = sum(segment.duration_ms for segment in segments) * 8
    source = Tone(country, kind, format_)
    audio = play(source, 2 * period // 160 + 1)
    assert audio[:period] == audio[period : 2 * period]
    at = 0
    for segment in segments:
        end = at + segment.duration_ms * 8
        middle = audio[at + 80 : end - 80]
        if segment.frequencies_hz:
            expected = -13 - segment.attenuation_db
            assert level_dbm0(format_, middle) == pytest.approx(expected, abs=0.5)
        else:
            assert audio[at:end] == codecs.silence(format_, end - at)
        at = end
    # No step is steeper than the sound itself at its steadiest, seams and edges included.
    assert steepest(format_, audio) <= steepest(format_, audio[80 : segments[0].duration_ms * 8])


@pytest.mark.parametrize("frequency_hz", [440, 480])
def test_ringback_of_the_us_holds_both_frequencies(frequency_hz: int) -> None:
    detector = ToneDetector(frequency_hz, ULAW)
    detector.receive(play(Tone("us", "ringback", ULAW), 100))
    assert detector.level_dbm0 == pytest.approx(-16, abs=1)
    assert 0.4 < detector.share < 0.6


def test_frames_are_shared_between_calls_and_within_a_loop() -> None:
    first, second = Tone("us", "ringback", ULAW), Tone("us", "ringback", ULAW)
    frames = [first.next_frame() for _ in range(300)]
    assert all(second.next_frame() is frame for frame in frames)
    assert len({id(frame) for frame in frames}) < 12
    assert first.next_frame() is frames[0]


def test_calls_hear_their_tone_from_its_beginning() -> None:
    first = Tone("de", "busy", ALAW)
    beginning = first.next_frame()
    assert first.next_frame() != beginning
    assert Tone("de", "busy", ALAW).next_frame() == beginning


def test_what_cannot_be_played() -> None:
    with pytest.raises(ToneError, match="known: at"):
        Tone("atlantis", "busy", ULAW)
    with pytest.raises(ValueError, match="dial"):
        Tone("us", "dial", ULAW)
    for source in (
        lambda: Tone("us", "busy", Format.GSM),
        lambda: ContinuousTone(Format.GSM),
        lambda: CodecSilence(Format.LPC10),
    ):
        with pytest.raises(CodecError):
            source()
