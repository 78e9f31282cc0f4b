"""Local audio toward the link: in the phone's place, on the same clock, and nothing doubled."""

from collections.abc import Iterator
from itertools import pairwise

import pytest

from bridge.iax2 import Format
from bridge.media.link_audio import play_to_link
from bridge.media.sources import ContinuousTone
from tests.lab.relay_calls import RelayCalls, speech

FRAME_S = 0.02
SILENCE = b"\xff" * 160


@pytest.fixture
def calls() -> Iterator[RelayCalls]:
    with RelayCalls() as calls:
        yield calls


def test_a_tone_takes_the_place_of_the_phones_audio_and_gives_it_back(calls: RelayCalls) -> None:
    phone, media, far = calls.connected()
    tone = ContinuousTone(Format.ULAW)
    expected = ContinuousTone(Format.ULAW)
    play_to_link(media, tone)
    for number in range(10):
        phone.send(media, number, speech(number))
        calls.run(FRAME_S)
    play_to_link(media, None)
    for number in range(10, 20):
        phone.send(media, number, speech(number))
        calls.run(FRAME_S)
    payloads = [frame.payload for frame in far.frames[1:]]
    assert payloads[:10] == [expected.next_frame() for _ in range(10)]
    heard = [payload for payload in payloads[10:] if payload != SILENCE]
    assert heard
    assert set(heard) <= {speech(number) for number in range(10, 20)}


def test_nobody_on_the_link_sees_the_change(calls: RelayCalls) -> None:
    _, media, far = calls.connected()
    calls.run(0.2)
    play_to_link(media, ContinuousTone(Format.ULAW))
    calls.run(0.2)
    play_to_link(media, None)
    calls.run(0.2)
    for before, after in pairwise(far.frames[1:]):
        assert after.timestamp_ms - before.timestamp_ms == 20
