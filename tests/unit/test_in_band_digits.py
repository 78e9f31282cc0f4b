"""Digits as tones: each once, whatever its level and length, and none in anything else."""

import random
from collections.abc import Iterable, Iterator
from math import pi, sin
from typing import Any

import pytest

from bridge.iax2.constants import Format
from bridge.media import codecs
from bridge.media.call_media import CallMedia
from bridge.media.codecs import CodecError
from bridge.media.in_band_digits import ListeningPull, ToneDigitDetector
from bridge.media.sources import ContinuousTone, Tone
from bridge.media.tones import COUNTRIES, ToneKind
from tests.lab.relay_calls import Phone, RelayCalls, assert_one_frame_each_slot

ROWS = (697, 770, 852, 941)
COLUMNS = (1209, 1336, 1477, 1633)
KEYS = "123A456B789C*0#D"
FRAME = 160
SILENCE = b"\xff" * FRAME


def press(
    digit: str,
    ms: int,
    *,
    level_dbm0: float = -8.0,
    twist_db: float = 0.0,
    shift: float = 0.0,
    noise_db: float | None = None,
    seed: int = 0,
) -> list[int]:
    """Samples of one key press, the column's frequency louder by `twist_db`."""
    row, column = divmod(KEYS.index(digit), 4)
    peak = codecs.peak_of_0_dbm0(Format.ULAW) * 10 ** (level_dbm0 / 20)
    high = peak * 10 ** (twist_db / 20)
    dice = random.Random(seed)
    sigma = 0.0 if noise_db is None else peak * 10 ** (-noise_db / 20)
    low_hz, high_hz = ROWS[row] * (1 + shift), COLUMNS[column] * (1 + shift)
    return [
        clipped(
            peak * sin(2 * pi * low_hz * at / 8000 + seed)
            + high * sin(2 * pi * high_hz * at / 8000)
            + dice.gauss(0, sigma)
        )
        for at in range(ms * 8)
    ]


def clipped(sample: float) -> int:
    return max(-32768, min(32767, round(sample)))


def pause(ms: int) -> list[int]:
    return [0] * (ms * 8)


def detected(samples: list[int], format_: Format = Format.ULAW) -> str:
    """What a detector hears in frames of 20 ms, silence before and behind."""
    detector = ToneDigitDetector(format_)
    payload = codecs.encode(format_, [*samples, *pause(100)])
    return "".join(
        detector.receive(payload[at : at + FRAME]) for at in range(0, len(payload), FRAME)
    )


@pytest.mark.parametrize("format_", [Format.ULAW, Format.ALAW])
@pytest.mark.parametrize("ms", [40, 70, 100, 1000])
def test_each_key_is_one_digit(format_: Format, ms: int) -> None:
    for offset in range(0, 102, 17):
        samples = [0] * offset
        for digit in KEYS:
            samples += press(digit, ms) + pause(60)
        assert detected(samples, format_) == KEYS


def test_the_same_key_again_is_another_digit() -> None:
    for offset in range(0, 102, 5):
        samples = [0] * offset + (press("5", 50) + pause(50)) * 10
        assert detected(samples) == "5" * 10


@pytest.mark.parametrize(
    "how",
    [
        {"level_dbm0": -3.0},
        {"level_dbm0": -25.0},
        {"twist_db": 3.5},
        {"twist_db": -7.5},
        {"shift": 0.015},
        {"shift": -0.015},
        {"noise_db": 15.0},
    ],
    ids=str,
)
def test_what_a_phone_may_send(how: dict[str, Any]) -> None:
    samples: list[int] = []
    for seed, digit in enumerate(KEYS):
        samples += press(digit, 60, seed=seed, **how) + pause(60)
    assert detected(samples) == KEYS


@pytest.mark.parametrize(
    "how",
    [{"level_dbm0": -45.0}, {"twist_db": 10.0}, {"twist_db": -14.0}, {"shift": 0.04}],
    ids=str,
)
def test_what_is_no_digit(how: dict[str, Any]) -> None:
    for digit in KEYS:
        assert detected(press(digit, 100, **how)) == ""


def test_too_short_is_no_digit() -> None:
    for offset in range(0, 102, 5):
        assert detected([0] * offset + press("5", 20) + pause(100)) == ""


def test_tones_of_all_countries_hold_no_digit() -> None:
    for country in COUNTRIES:
        for kind in ToneKind:
            source = Tone(country, kind, Format.ULAW)
            detector = ToneDigitDetector(Format.ULAW)
            assert not any(detector.receive(source.next_frame()) for _ in range(150)), country


def test_single_tones_hold_no_digit() -> None:
    for hz in range(300, 3400, 13):
        source = ContinuousTone(Format.ULAW, hz, -6.0)
        detector = ToneDigitDetector(Format.ULAW)
        assert not any(detector.receive(source.next_frame()) for _ in range(10)), hz


def vowel(dice: random.Random) -> Iterable[int]:
    """A second of harmonics of a gliding voice under formants, as talk-off is tried with."""
    pitch = dice.uniform(80, 260)
    formants = [(dice.uniform(300, 900), 1.0), (dice.uniform(900, 2300), dice.uniform(0.3, 1.0))]
    phase = 0.0
    for at in range(8000):
        phase += 2 * pi * pitch * (1 + 0.05 * sin(2 * pi * 3 * at / 8000)) / 8000
        total = 0.0
        for number in range(1, int(3400 / pitch)):
            hz = pitch * number
            gain = sum(level / (1 + ((hz - centre) / 80) ** 2) for centre, level in formants)
            total += gain * sin(number * phase)
        yield clipped(5000 * total)


def test_voices_hold_no_digit() -> None:
    for seed in range(12):
        assert detected(list(vowel(random.Random(seed)))) == ""


def test_noise_holds_no_digit() -> None:
    dice = random.Random(3)
    for level in (300, 3000, 20_000):
        assert detected([clipped(dice.gauss(0, level)) for _ in range(24_000)]) == ""


def test_random_octets_hold_no_digit() -> None:
    detector = ToneDigitDetector(Format.ALAW)
    assert not any(detector.receive(random.Random(n).randbytes(FRAME)) for n in range(500))


def test_other_codecs_have_no_detector() -> None:
    with pytest.raises(CodecError):
        ToneDigitDetector(Format.G722).receive(b"\0")


class TestListening:
    def frames(self, samples: list[int]) -> list[bytes | None]:
        payload = codecs.encode(Format.ULAW, samples)
        return [payload[at : at + FRAME] for at in range(0, len(payload), FRAME)]

    def hear(self, frames: list[bytes | None]) -> tuple[str, list[bytes | None]]:
        digits: list[str] = []
        waiting = iter(frames)
        listening = ListeningPull(lambda: next(waiting), Format.ULAW, digits.append)
        passed = [listening.pull() for _ in frames]
        return "".join(digits), passed

    def test_a_digit_is_taken_out_of_the_audio(self) -> None:
        digits, passed = self.hear(self.frames(press("7", 200) + pause(100)))
        assert digits == "7"
        assert passed[2:10] == [None] * 8
        assert passed[-1] == SILENCE

    def test_other_audio_passes(self) -> None:
        frames = self.frames(list(vowel(random.Random(1))))
        assert self.hear(frames) == ("", frames)

    @pytest.mark.parametrize("lost", [1, 2])
    def test_lost_frames_make_no_second_digit(self, lost: int) -> None:
        frames = self.frames(press("7", 400) + pause(100))
        frames[8 : 8 + lost] = [None] * lost
        assert self.hear(frames)[0] == "7"

    def test_one_lost_frame_that_came_as_silence_makes_no_second_digit(self) -> None:
        for at in range(4, 16):
            frames = self.frames(press("7", 400) + pause(100))
            frames[at] = SILENCE
            assert self.hear(frames)[0] == "7"

    def test_a_phone_that_suppresses_silence_may_press_the_same_key(self) -> None:
        frames = self.frames(press("7", 100))
        assert self.hear([*frames, *[None] * 5, *frames])[0] == "77"


class TestInACall:
    @pytest.fixture
    def calls(self) -> Iterator[RelayCalls]:
        with RelayCalls() as relay_calls:
            yield relay_calls

    def type_digit(self, calls: RelayCalls, media: CallMedia, phone: Phone, ms: int) -> None:
        payload = codecs.encode(Format.ULAW, press("9", 200) + pause(100))
        step = ms * 8
        for number, at in enumerate(range(0, len(payload), step)):
            phone.send(media, number, payload[at : at + step], timestamp=at)
            calls.run(ms / 1000)
        calls.run(0.1)

    @pytest.mark.parametrize("link_format", [Format.ULAW, Format.ALAW])
    @pytest.mark.parametrize("ms", [10, 20, 30])
    def test_tones_of_a_phone_without_events(
        self, calls: RelayCalls, link_format: Format, ms: int
    ) -> None:
        digits: list[str] = []
        phone = calls.phone()
        media = calls.call(phone, telephone_event=False)
        media.on_digit, media.in_band_digits = digits.append, True
        far = calls.connect(media, link_format)
        self.type_digit(calls, media, phone, ms)
        assert digits == ["9"]
        assert media.counters.digits_received == 1
        assert_one_frame_each_slot(far)

    @pytest.mark.parametrize(("events", "wanted"), [(True, True), (False, False)])
    def test_not_of_a_phone_with_events_or_unless_wanted(
        self, calls: RelayCalls, *, events: bool, wanted: bool
    ) -> None:
        digits: list[str] = []
        phone = calls.phone()
        media = calls.call(phone, telephone_event=events)
        media.on_digit, media.in_band_digits = digits.append, wanted
        calls.connect(media)
        self.type_digit(calls, media, phone, 20)
        assert digits == []

    def test_not_in_another_codec(self, calls: RelayCalls) -> None:
        phone = calls.phone()
        media = calls.call(phone, Format.G722, telephone_event=False)
        media.in_band_digits = True
        calls.connect(media, Format.G722)
        assert media.pull == media.buffer.pull
