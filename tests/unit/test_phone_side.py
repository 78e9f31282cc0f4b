"""When a call has to end by itself, and when it wants to be looked at."""

import math
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bridge.bridging.phone_side import CallTimes, PhoneSide
from bridge.iax2 import Format
from bridge.media.remote import RemoteMedia
from tests.lab.bridged_phone import FakeMedia, Story

START = 1000.0
AGREED = RemoteMedia("192.0.2.10", 4000, "192.0.2.10", 0, Format.ULAW)
HELD = RemoteMedia("192.0.2.10", 4000, "192.0.2.10", 0, Format.ULAW, receives=False)


class Side:
    """A phone's side of a call that is up, and its audio."""

    def __init__(self, duration_s: float | None = None) -> None:
        self.media = FakeMedia(Story(lambda: START))
        services = SimpleNamespace(
            media_address=None,
            times=CallTimes(60, 3600, duration_s),
            hold_source=lambda _format: None,
        )
        self.phone = PhoneSide(cast("Any", self.media), cast("Any", services))
        self.phone.set(AGREED, START)
        assert self.phone.look_at == 0.0
        assert self.phone.why_over(START) is None


def test_silence_ends_a_call_and_audio_puts_that_off() -> None:
    side = Side()
    assert side.phone.look_at == START + 60
    side.media.last_rtp_at = START + 59
    assert side.phone.why_over(START + 60) is None
    assert side.phone.look_at == START + 119
    assert side.phone.why_over(START + 119) is None
    assert side.phone.why_over(START + 119.5) == "the phone sends no audio any more"


def test_a_call_on_hold_is_looked_at_when_it_is_resumed() -> None:
    side = Side()
    side.phone.set(HELD, START + 10)
    assert side.phone.why_over(START + 10) is None
    assert side.phone.look_at == START + 3610
    side.phone.set(AGREED, START + 100)
    assert side.phone.look_at <= START + 100
    assert side.phone.why_over(START + 100) is None
    assert side.phone.look_at == START + 160


def test_a_phone_that_may_be_quiet_is_not_looked_at_until_another_takes_its_place() -> None:
    side = Side()
    side.phone.change(may_be_quiet=True)
    assert side.phone.why_over(START + 1000) is None
    assert side.phone.look_at == math.inf
    side.phone.change()
    assert side.phone.look_at == 0.0


@pytest.mark.parametrize("late_s", [0.0, 0.4])
def test_a_call_lasts_as_long_as_one_may(late_s: float) -> None:
    side = Side(duration_s=30)
    assert side.phone.look_at == START + 30
    assert side.phone.why_over(START + 30 + late_s) == "the call has lasted as long as one may"


def test_somebody_else_may_want_a_look_earlier() -> None:
    side = Side()
    side.phone.look_by(START + 30)
    assert side.phone.look_at == START + 30
    assert side.phone.why_over(START + 31) is None
    assert side.phone.look_at == START + 30
    side.phone.look_by(math.inf)
    assert side.phone.why_over(START + 31.5) is None
    assert side.phone.look_at == START + 60
