"""Emergency calls in virtual time: real SIP legs on both sides, and what each side gets."""

from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from bridge.bridging.emergency import EmergencyCall, EmergencyDesk, EmergencyServices
from bridge.bridging.phone_side import CallTimes
from bridge.dialing.delivery import TrunkNumber
from bridge.dialing.plan import DialPlan
from bridge.errors import BridgeError
from bridge.iax2 import Format
from bridge.media.call_media import CallMedia
from bridge.sip.leg import LegState, MakeOffer, SipLeg
from bridge.sip.sdes import Srtp
from tests.lab.bridged_phone import (
    ALAW_OFFER,
    CALLER,
    OFFER,
    SECURE_OFFER,
    CalledPhone,
    FakeMedia,
    Phone,
    Story,
    q850,
)

NUMBER = "112"
ILBC_OFFER = OFFER.replace("0 8 101", "97") + "a=rtpmap:97 iLBC/8000\r\na=fmtp:97 mode=20\r\n"


class Stage:
    """A phone that calls, a trunk, and the desk between them."""

    def __init__(self, offer: str = OFFER, srtp: Srtp = Srtp.OFF) -> None:
        self.story = Story(lambda: 0.0)
        self.phone = Phone(NUMBER, offer, self.story, CALLER, srtp)
        self.trunks: list[CalledPhone] = []
        self.media: list[FakeMedia] = []
        self.ports = 2
        self.is_reachable = True
        services = EmergencyServices(
            clock=lambda: 0.0,
            call=self._call,
            open_media=self._open_media,
            media_address=None,
            times=CallTimes(60, 3600, 10),
        )
        self.desk = EmergencyDesk(DialPlan((), {}, {NUMBER: NUMBER}), "provider", services)

    def _call(self, target: TrunkNumber, call: EmergencyCall, offer: MakeOffer) -> SipLeg:
        if not self.is_reachable:
            raise BridgeError("the SIP URI cannot be reached")
        trunk = CalledPhone(target.user, offer("192.0.2.2", Srtp.OFF), self.story)
        trunk.leg.begin(call)
        trunk.leg.on_ringing = call.on_ringing
        self.trunks.append(trunk)
        return trunk.leg

    def _open_media(self, _host: str) -> CallMedia:
        if len(self.media) == self.ports:
            raise BridgeError("all pairs of the RTP port range are in use")
        self.media.append(FakeMedia(self.story))
        return cast("CallMedia", self.media[-1])

    def dial(self) -> EmergencyCall | None:
        call = self.desk.take(self.phone.leg)
        if call is not None:
            self.phone.leg.begin(call)
        return call

    @property
    def trunk(self) -> CalledPhone:
        (trunk,) = self.trunks
        return trunk

    def talk(self) -> None:
        self.dial()
        self.trunk.answers()

    def assert_nothing_left(self) -> None:
        assert self.desk.live_calls == 0
        assert all(media.closed for media in self.media)
        assert self.phone.leg.is_over
        assert all(trunk.leg.is_over for trunk in self.trunks)


def test_the_phone_gets_what_the_trunk_does() -> None:
    stage = Stage()
    stage.dial()
    assert (stage.trunk.uri, stage.phone.got) == (NUMBER, [])
    stage.trunk.rings()
    assert stage.phone.got == [180]
    stage.trunk.answers()
    assert stage.phone.got == [180, 183, 200]
    near, far = stage.media
    for media in (near, far):
        assert media.path is not None
        assert media.path.format is Format.ULAW
    stage.phone.bye()
    assert stage.trunk.got[-1] == "BYE"
    stage.assert_nothing_left()


def test_early_media_is_heard_before_the_answer() -> None:
    stage = Stage()
    stage.dial()
    stage.trunk.sends_early_media()
    assert stage.phone.got == [183]
    stage.trunk.answers()
    assert stage.phone.got == [183, 200]


def test_a_phone_of_the_other_law_is_translated() -> None:
    stage = Stage(ALAW_OFFER)
    stage.dial()
    stage.trunk.answers(OFFER.replace("0 8 101", "0 101"))
    near, far = stage.media
    assert (near.format, far.format) == (Format.ALAW, Format.ULAW)


def test_a_phone_without_an_offer_gets_ours() -> None:
    stage = Stage("")
    stage.talk()
    assert stage.phone.got == [183, 200]
    assert "m=audio" in stage.phone.sdp[0]


def test_a_phone_keeps_its_srtp_and_the_trunk_has_none() -> None:
    stage = Stage(SECURE_OFFER, Srtp.REQUIRED)
    stage.talk()
    near, far = stage.media
    assert near.remotes[-1].srtp is not None
    assert far.remotes[-1].srtp is None
    assert "RTP/SAVP" in stage.phone.sdp[-1]
    assert "crypto" not in stage.trunk.offered


@pytest.mark.parametrize(
    ("status", "told"), [(486, 486), (404, 404), (503, 503), (401, 503), (407, 503), (603, 603)]
)
def test_what_the_trunk_refuses_is_refused(status: int, told: int) -> None:
    stage = Stage()
    stage.dial()
    stage.trunk.refuses(status)
    assert stage.phone.got == [told]
    stage.assert_nothing_left()


def test_the_trunk_hangs_up_with_its_cause() -> None:
    stage = Stage()
    stage.talk()
    stage.trunk.bye(31)
    assert stage.phone.got[-1] == "BYE"
    assert q850(stage.phone) == "Q.850;cause=31"
    stage.assert_nothing_left()


def test_a_phone_that_gives_up_cancels() -> None:
    stage = Stage()
    stage.dial()
    stage.trunk.rings()
    stage.phone.cancel()
    assert stage.trunk.got == ["INVITE", "CANCEL"]
    stage.assert_nothing_left()


def test_digits_pass_both_ways() -> None:
    stage = Stage()
    stage.talk()
    near, far = stage.media
    near.on_digit("1")
    stage.phone.leg.pressed("2")
    far.on_digit("3")
    stage.trunk.leg.pressed("4")
    assert (far.digits, near.digits) == ("12", "34")


def test_an_answer_without_a_codec_ends_both() -> None:
    stage = Stage()
    stage.dial()
    stage.trunk.answers(ILBC_OFFER)
    assert stage.phone.got == [488]
    assert stage.trunk.got[-1] == "BYE"
    stage.assert_nothing_left()


@pytest.mark.parametrize(
    ("change", "status"),
    [({"is_reachable": False}, 503), ({"ports": 0}, 503), ({"ports": 1}, 503)],
)
def test_what_cannot_be_placed_is_told_at_once(change: dict[str, Any], status: int) -> None:
    stage = Stage()
    for name, value in change.items():
        setattr(stage, name, value)
    with capture_logs() as lines:
        assert stage.dial() is None
    assert stage.phone.got == [status]
    assert lines[-1]["event"] == "emergency call failed"
    assert NUMBER not in str(lines)
    stage.assert_nothing_left()


def test_a_phone_without_a_codec_of_ours_is_told() -> None:
    stage = Stage(ILBC_OFFER)
    assert stage.dial() is None
    assert stage.phone.got == [488]
    assert stage.trunks == []


def test_media_that_fails_ends_its_call_alone() -> None:
    stage = Stage()
    stage.talk()
    stage.desk.fail(cast("CallMedia", FakeMedia(stage.story)))
    assert stage.phone.leg.state is LegState.UP
    stage.desk.fail(cast("CallMedia", stage.media[1]))
    assert stage.phone.got[-1] == "BYE"
    assert stage.trunk.got[-1] == "BYE"
    stage.assert_nothing_left()


def test_the_desk_counts_what_it_takes() -> None:
    stage = Stage()
    assert stage.desk.is_emergency("1-1-2")
    assert not stage.desk.is_emergency("113")
    stage.talk()
    assert (stage.desk.taken, stage.desk.live_calls) == (1, 1)
