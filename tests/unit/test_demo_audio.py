"""The demo's audio is measured on the tone alone: loss, delay, level, purity."""

import json
from dataclasses import asdict
from math import inf
from typing import Final

import pytest

from bridge.demo.audio import Heard, Passage, ToneEnd, cycle, measure_passage
from bridge.media.codecs import silence

FRAME_S: Final = 0.020
LEVEL: Final = -6.0
OTHER: Final = -12.0


def sending(count: int) -> tuple[ToneEnd, list[tuple[float, bytes]]]:
    """One end that has sent so many frames from time 10 on."""
    end = ToneEnd(LEVEL, OTHER)
    return end, [(at, end.next_frame(at)) for at in (10 + n * FRAME_S for n in range(count))]


def passage(end: ToneEnd, arrivals: list[tuple[float, bytes]], until: float) -> Passage:
    listener = ToneEnd(OTHER, LEVEL)
    for at, payload in arrivals:
        listener.receive(payload, at)
    return measure_passage(end.sent_at, listener.heard(10, until), LEVEL, 10, until)


def test_every_frame_of_the_cycle_differs() -> None:
    frames = cycle(LEVEL)
    assert len(set(frames)) == len(frames) == 25
    assert not set(frames) & set(cycle(OTHER))


def test_a_clean_passage() -> None:
    end, sent = sending(150)
    result = passage(end, [(at + 0.031, payload) for at, payload in sent], until=13)
    assert (result.sent, result.lost, result.loss) == (135, 0, 0)
    assert result.delay_p50_ms == pytest.approx(31)
    assert result.delay_p99_ms == pytest.approx(31)
    assert result.heard.detected
    assert result.heard.level_dbm0 == pytest.approx(LEVEL, abs=0.1)
    assert (result.heard.breaks, result.heard.others) == (0, 0)


@pytest.mark.parametrize("delay_s", [0.0, 0.019, 0.2, 0.49])
def test_delays_up_to_half_a_second(delay_s: float) -> None:
    end, sent = sending(150)
    result = passage(end, [(at + delay_s, payload) for at, payload in sent], until=13.5)
    assert result.delay_p50_ms == pytest.approx(delay_s * 1000)


def test_lost_frames_are_counted_and_break_the_tone() -> None:
    end, sent = sending(150)
    kept = [(at + 0.03, payload) for n, (at, payload) in enumerate(sent) if n not in {20, 21, 60}]
    result = passage(end, kept, until=13)
    assert result.lost == 3
    assert result.heard.breaks == 2


def test_silence_in_the_place_of_frames_is_something_else() -> None:
    end, sent = sending(150)
    filled = [
        (at + 0.03, silence(4, 160) if n in {20, 60} else payload)
        for n, (at, payload) in enumerate(sent)
    ]
    result = passage(end, filled, until=13)
    assert (result.lost, result.heard.others) == (2, 2)


def test_duplicates_and_late_ones_count_once() -> None:
    end, sent = sending(150)
    arrivals = sorted((at + delay_s, payload) for at, payload in sent for delay_s in (0.03, 0.06))
    result = passage(end, arrivals, until=13)
    assert result.lost == 0
    assert result.delay_p99_ms == pytest.approx(30)


def test_an_echo_of_the_own_tone_is_not_the_other_one() -> None:
    end, sent = sending(150)
    for at, payload in sent:
        end.receive(payload, at)
    heard = end.heard(10, 13)
    assert heard.frames == ()
    assert heard.level_dbm0 == pytest.approx(LEVEL, abs=0.1)


def test_nothing_sent_nothing_heard() -> None:
    result = passage(ToneEnd(LEVEL, OTHER), [], until=13)
    assert (result.sent, result.loss) == (0, 1)
    assert result.delay_p50_ms is None
    assert result.delay_p99_ms is None
    assert not result.heard.detected


def test_frames_from_before_anything_was_sent_belong_to_nobody() -> None:
    end, sent = sending(150)
    early = [(9.0, payload) for _, payload in sent[:3]]
    listener = ToneEnd(OTHER, LEVEL)
    for at, payload in early:
        listener.receive(payload, at)
    result = measure_passage(end.sent_at, listener.heard(8, 13), LEVEL, 10, 13)
    assert result.lost == result.sent == 135


def test_what_a_phone_heard_passes_through_json() -> None:
    _, sent = sending(50)
    listener = ToneEnd(OTHER, LEVEL)
    for at, payload in sent:
        listener.receive(payload, at)
    for heard in (listener.heard(10, 11), listener.heard(20, 21), Heard()):
        assert Heard.from_json(json.loads(json.dumps(asdict(heard)))) == heard
    assert Heard().level_dbm0 == -inf
