"""The detector tells an intact tone from a damaged one."""

from math import inf
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.iax2.constants import Format
from bridge.media import codecs
from bridge.media.codecs import CodecError
from bridge.media.sources import CodecSilence, ContinuousTone
from bridge.media.tone_detector import ToneDetector

ULAW, ALAW = Format.ULAW, Format.ALAW


def tone_frames(count: int, level_dbm0: float = 0.0, frequency_hz: int = 1004) -> list[bytes]:
    source = ContinuousTone(ULAW, frequency_hz, level_dbm0)
    return [source.next_frame() for _ in range(count)]


def listen(frames: list[bytes], format_: Format = ULAW) -> ToneDetector:
    detector = ToneDetector(1004, format_)
    for frame in frames:
        detector.receive(frame)
    return detector


def test_nothing_received() -> None:
    detector = listen([])
    assert (detector.blocks, detector.share, detector.level_dbm0) == (0, 0.0, -inf)
    assert not detector.detected


@pytest.mark.parametrize("level_dbm0", [3, 0, -10, -20, -30, -40])
def test_level_and_share_of_a_clean_tone(level_dbm0: int) -> None:
    detector = listen(tone_frames(60, level_dbm0))
    assert detector.level_dbm0 == pytest.approx(level_dbm0, abs=0.05)
    assert 0.999 < detector.share <= 1
    assert detector.detected
    assert detector.discontinuities == 0


def test_translation_to_the_other_law_keeps_the_tone() -> None:
    table = codecs.translation(ULAW, ALAW)
    assert table is not None
    detector = listen([frame.translate(table) for frame in tone_frames(60)], ALAW)
    assert detector.level_dbm0 == pytest.approx(0, abs=0.05)
    assert detector.discontinuities == 0


@pytest.mark.parametrize("format_", [ULAW, ALAW])
def test_silence_is_no_tone(format_: Format) -> None:
    source = CodecSilence(format_)
    detector = listen([source.next_frame() for _ in range(60)], format_)
    assert detector.share == pytest.approx(0, abs=0.01)
    assert not detector.detected


def test_another_frequency_and_noise_are_no_tone() -> None:
    assert listen(tone_frames(60, frequency_hz=1100)).share < 0.05
    noise = listen([Random(1).randbytes(160) for _ in range(60)])
    assert noise.share < 0.1
    assert not noise.detected


def test_a_tone_below_hearing_is_not_detected() -> None:
    assert not listen(tone_frames(60, -50)).detected


def test_too_short_to_tell() -> None:
    assert not listen(tone_frames(4)).detected
    assert listen(tone_frames(5)).detected


def test_a_lost_frame_is_one_discontinuity() -> None:
    frames = tone_frames(60)
    assert listen(frames[:30] + frames[31:]).discontinuities == 1
    assert listen(frames[:30] + frames[33:]).discontinuities == 1


def test_a_repeated_and_a_swapped_frame() -> None:
    frames = tone_frames(60)
    assert listen(frames[:30] + frames[29:]).discontinuities == 1
    swapped = [*frames[:30], frames[31], frames[30], *frames[32:]]
    assert listen(swapped).discontinuities == 3


def test_a_gap_is_one_discontinuity_however_long() -> None:
    frames = tone_frames(60)
    for length in (1, 2, 20):
        gap = [codecs.silence(ULAW, 160)] * length
        detector = listen(frames[:30] + gap + frames[30 + length :])
        assert detector.discontinuities == 1


def test_a_click_inside_a_frame_is_seen() -> None:
    frames = tone_frames(60)
    frames[30] = frames[30][:70] + frames[30][:40] + frames[30][110:]
    assert listen(frames).discontinuities == 1


def test_what_comes_before_the_tone_is_no_discontinuity() -> None:
    silence = [codecs.silence(ULAW, 160)] * 20
    detector = listen(silence + [silence[0][:50] + frame[50:] for frame in tone_frames(1)])
    assert detector.discontinuities == 0
    for frame in tone_frames(20):
        detector.receive(frame)
    assert detector.discontinuities == 0


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 700), max_size=30))
def test_payload_sizes_do_not_matter(sizes: list[int]) -> None:
    audio = b"".join(tone_frames(60))
    detector = ToneDetector(1004, ULAW)
    at = 0
    for size in sizes:
        detector.receive(audio[at : at + size])
        at += size
    detector.receive(audio[at:])
    whole = listen([audio])
    assert (detector.blocks, detector.share) == (whole.blocks, whole.share)
    assert detector.discontinuities == 0


@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(max_size=400), max_size=10))
def test_any_audio_can_be_measured(payloads: list[bytes]) -> None:
    detector = listen(payloads)
    assert 0 <= detector.share <= 1.000001


def test_reset_begins_anew() -> None:
    detector = listen([*tone_frames(10), codecs.silence(ULAW, 160), *tone_frames(10), b"\xff"])
    detector.reset()
    assert (detector.blocks, detector.discontinuities, detector.share) == (0, 0, 0.0)
    for frame in tone_frames(10):
        detector.receive(frame)
    assert (detector.blocks, detector.discontinuities) == (10, 0)


def test_what_cannot_be_detected() -> None:
    with pytest.raises(CodecError):
        ToneDetector(1004, Format.GSM)
    for frequency_hz in (0, 4000):
        with pytest.raises(ValueError, match="no tone detector"):
            ToneDetector(frequency_hz, ULAW)
