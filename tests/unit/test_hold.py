"""What the link hears while a phone holds, in calls of both directions."""

import pytest

from bridge.iax2 import Format
from bridge.media.hold_music import HoldMusic
from tests.lab.bridged_calls import Stage
from tests.lab.bridged_phone import FakeMedia
from tests.lab.inbound_calls import InboundStage

MUSIC = tuple(bytes([number]) * 160 for number in (1, 2))
HOLD_SDP = "v=0\r\nc=IN IP4 192.0.2.10\r\nm=audio 4000 RTP/AVP 0\r\na={}\r\n"


@pytest.fixture
def stage() -> Stage:
    stage = Stage()
    stage.on_hold = HoldMusic({Format.ULAW: MUSIC}).source
    return stage


def plays(media: FakeMedia) -> bool:
    return media.pull() in MUSIC


@pytest.mark.parametrize("direction", ["sendonly", "inactive"])
def test_music_while_the_phone_holds_from_its_beginning_each_time(
    stage: Stage, direction: str
) -> None:
    phone = stage.talking()
    (media,) = stage.media
    for _ in range(2):
        assert not plays(media)
        assert phone.offers(direction)
        assert media.pull() == MUSIC[0]
        assert phone.offers("inactive")
        assert media.pull() == MUSIC[1]
        assert phone.offers("sendrecv")
        assert media.pull == media.buffer.pull


def test_a_phone_that_only_listens_does_not_hold(stage: Stage) -> None:
    phone = stage.talking()
    assert phone.offers("recvonly")
    assert not plays(stage.media[0])


def test_nothing_is_played_where_nothing_is_configured_or_the_codec_has_none(stage: Stage) -> None:
    stage.on_hold = HoldMusic({Format.ALAW: MUSIC}).source
    phone = stage.talking()
    assert phone.offers("sendonly")
    assert stage.media[0].pull == stage.media[0].buffer.pull


def test_a_call_that_begins_on_hold(stage: Stage) -> None:
    phone = stage.dial()
    assert phone.offers("sendonly")
    assert not plays(stage.media[0])
    stage.run(3.0)
    assert plays(stage.media[0])


def test_the_tail_is_silence_and_the_music_over() -> None:
    stage = Stage(tail=True)
    stage.on_hold = HoldMusic({Format.ULAW: MUSIC}).source
    phone = stage.talking()
    assert phone.offers("sendonly")
    assert plays(stage.media[0])
    phone.bye()
    assert not stage.media[0].closed
    assert not plays(stage.media[0])


def test_a_call_from_a_link() -> None:
    stage = InboundStage(link={"tail": True})
    stage.on_hold = HoldMusic({Format.ULAW: MUSIC, Format.ALAW: MUSIC}).source
    phone = stage.talking()
    (media,) = stage.media
    assert phone.leg.offered(HOLD_SDP.format("sendonly"))
    assert plays(media)
    assert phone.leg.offered(HOLD_SDP.format("sendrecv"))
    assert not plays(media)
    assert phone.leg.offered(HOLD_SDP.format("sendonly"))
    phone.bye()
    assert not media.closed
    assert not plays(media)
