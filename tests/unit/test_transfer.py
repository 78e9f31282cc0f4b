"""A phone gives its call away: who gets it, who hears what meanwhile, and what the link sees."""

from collections.abc import Callable
from itertools import pairwise

import pytest

from bridge.bridging.transfer import RING_S, TRANSFERS_MAX
from bridge.iax2 import Cause, EndReason, Format
from bridge.media.sources import Source, Tone
from bridge.media.tones import ToneKind
from bridge.sip.refer import SIPFRAG
from bridge.sip.sdes import Srtp
from tests.lab.bridged_calls import CNG, Stage
from tests.lab.bridged_phone import ALAW_OFFER, FOREIGN_OFFER, OFFER, SECURE_OFFER, CalledPhone
from tests.lab.inbound_calls import InboundStage
from tests.lab.transfer_stages import B_OFFER, OTHER_HOST, AnyStage, begin, is_up
from tests.lab.transfers import TARGET, ask, refer_to, told


@pytest.fixture(params=[Stage, InboundStage], ids=["to the link", "from the link"])
def stage(request: pytest.FixtureRequest) -> AnyStage:
    made: AnyStage = request.param()
    return made


def ended(stage: AnyStage) -> list[tuple[EndReason, int | None]]:
    """How the link's call ended, as the far end sees it."""
    if isinstance(stage, Stage):
        return stage.far.ended
    return [(reason, cause) for _, reason, cause in stage.caller.ended]


def heard_on_link(stage: AnyStage) -> Source | None:
    """What the link hears in place of a phone."""
    pull = stage.media[0].pull
    source = getattr(pull, "__self__", None)
    return source if isinstance(source, Tone) else None


class TestBlind:
    def test_the_phone_that_answers_has_the_call(self, stage: AnyStage) -> None:
        phone = begin(stage)
        other = stage.desk.phone
        assert other.uri == TARGET
        assert "PCMU" in other.offered
        assert "m=audio 21198 " in other.offered
        other.rings()
        assert told(phone.notices) == [100, 180]
        before = len(stage.media[0].remotes)
        other.answers(B_OFFER)
        assert told(phone.notices) == [100, 180, 200]
        assert phone.got[-1] == "BYE"
        assert phone.leg.is_over
        assert stage.desk.moved == [21198]
        assert not stage.desk.open_ports
        (remote,) = stage.media[0].remotes[before:]
        assert (remote.host, remote.sends, remote.receives) == (OTHER_HOST, True, True)
        stage.run(5)
        assert is_up(stage)
        assert not ended(stage)
        other.bye()
        stage.run(3)
        assert ended(stage) == [(EndReason.HANGUP, Cause.NORMAL_CLEARING)]
        stage.assert_nothing_left()

    def test_the_link_is_told_nothing(self) -> None:
        stage = Stage()
        begin(stage)
        at = len(stage.far.signals)
        stage.desk.phone.rings()
        stage.run(3)
        stage.desk.phone.answers(B_OFFER)
        stage.run(3)
        signals = stage.far.signals[at:]
        assert {name for _, name in signals} == {CNG}
        gaps = {round(after - before, 3) for (before, _), (after, _) in pairwise(signals)}
        assert gaps == {0.5}

    def test_all_contacts_ring_and_the_first_answer_wins(self, stage: AnyStage) -> None:
        stage.desk.targets["202"] = ("sip:202@192.0.2.20", "sip:202@192.0.2.21")
        phone = begin(stage)
        first, second = stage.desk.phones
        first.rings()
        second.rings()
        assert told(phone.notices) == [100, 180]
        second.answers(B_OFFER)
        assert first.got == ["INVITE", "CANCEL"]
        assert dict(first.headers) == {"Reason": "Q.850;cause=26"}
        assert not stage.desk.open_ports
        assert is_up(stage)

    @pytest.mark.parametrize(
        "fails",
        [
            lambda other: other.refuses(486),
            lambda other: other.answers(FOREIGN_OFFER),
            lambda other: other.answers(OFFER.replace("RTP/AVP 0 8 101", "RTP/AVP 18")),
        ],
        ids=["busy", "no codec", "another codec"],
    )
    def test_one_that_fails_leaves_the_call_to_the_phone(
        self, stage: AnyStage, fails: Callable[[CalledPhone], None]
    ) -> None:
        phone = begin(stage)
        fails(stage.desk.phone)
        assert told(phone.notices)[:1] == [100]
        assert told(phone.notices)[-1] in (486, 488)
        headers, body = phone.notices[-1]
        assert dict(headers)["Subscription-State"] == "terminated;reason=noresource"
        assert body in ("SIP/2.0 486 Busy Here\r\n", "SIP/2.0 488 Not Acceptable Here\r\n")
        assert not stage.desk.open_ports
        assert not stage.desk.moved
        stage.run(3)
        assert is_up(stage)
        assert phone.leg.offered(f"{OFFER}a=sendonly\r\n")
        phone.bye()
        stage.run(3)
        assert ended(stage) == [(EndReason.HANGUP, Cause.NORMAL_CLEARING)]
        stage.assert_nothing_left()

    def test_nobody_answers(self, stage: AnyStage) -> None:
        phone = begin(stage)
        stage.desk.phone.rings()
        stage.run(RING_S - 1)
        assert told(phone.notices) == [100, 180]
        stage.run(2)
        assert told(phone.notices) == [100, 180, 480]
        assert stage.desk.phone.got == ["INVITE", "CANCEL"]
        assert is_up(stage)
        assert ask(phone.leg, refer_to()) == 202

    def test_no_contact_can_be_called(self, stage: AnyStage) -> None:
        stage.desk.unreachable.add(TARGET)
        phone = begin(stage)
        assert told(phone.notices) == [100, 503]
        assert not stage.desk.open_ports
        stage.desk.ports_left = 0
        stage.desk.unreachable.clear()
        assert ask(phone.leg, refer_to()) == 202
        assert told(phone.notices) == [100, 503, 100, 503]
        assert is_up(stage)

    def test_the_phone_may_hold_and_press_keys_meanwhile(self, stage: AnyStage) -> None:
        phone = begin(stage)
        before = len(stage.media[0].remotes)
        assert phone.leg.offered(f"{OFFER}a=sendonly\r\n")
        assert not stage.media[0].remotes[before].receives
        phone.leg.pressed("5")
        stage.desk.phone.leg.pressed("7")
        stage.run(1)
        digits = stage.far.digits if isinstance(stage, Stage) else stage.caller.digits
        assert digits[-1] == "5"

    def test_a_phone_with_g711_of_the_other_law(self, stage: AnyStage) -> None:
        begin(stage)
        stage.desk.phone.answers(ALAW_OFFER)
        assert stage.media[0].remotes[-1].format.name == "ALAW"

    def test_a_phone_with_srtp(self, stage: AnyStage) -> None:
        stage.desk.srtp = Srtp.REQUIRED
        begin(stage)
        assert "RTP/SAVP" in stage.desk.phone.offered
        stage.desk.phone.answers(SECURE_OFFER)
        assert stage.media[0].remotes[-1].srtp is not None

    def test_an_answer_with_keys_that_were_not_offered_is_refused(self, stage: AnyStage) -> None:
        stage.desk.srtp = Srtp.OPTIONAL
        phone = begin(stage)
        other = stage.desk.phone
        other.leg.answered(SECURE_OFFER.replace("AES_CM_128_HMAC_SHA1_80", "AEAD_AES_256_GCM"))
        assert other.leg.is_over
        assert told(phone.notices)[-1] >= 400
        assert is_up(stage)


class TestThePhoneHangsUpMeanwhile:
    def test_the_far_end_hears_ringback_and_then_the_other_phone(self, stage: AnyStage) -> None:
        phone = begin(stage)
        phone.bye()
        assert isinstance(heard_on_link(stage), Tone)
        assert not stage.media[0].remotes[-1].receives
        stage.run(20)
        assert not ended(stage)
        stage.desk.phone.answers(B_OFFER)
        assert heard_on_link(stage) is None
        assert stage.media[0].remotes[-1].receives
        stage.run(3)
        assert is_up(stage)

    def test_hold_music_goes_on(self, stage: AnyStage) -> None:
        music = Tone("us", ToneKind.BUSY, Format.ULAW)
        stage.on_hold = lambda _format: music
        phone = begin(stage)
        assert phone.leg.offered(f"{OFFER}a=sendonly\r\n")
        phone.bye()
        assert heard_on_link(stage) is music
        stage.desk.phone.answers(B_OFFER)
        assert heard_on_link(stage) is None

    def test_nobody_takes_the_call_and_the_link_hears_why(self, stage: AnyStage) -> None:
        phone = begin(stage)
        phone.bye()
        stage.desk.phone.refuses(486)
        stage.run(3)
        assert ended(stage) == [(EndReason.HANGUP, Cause.USER_BUSY)]
        stage.assert_nothing_left()


class TestTheCallEndsMeanwhile:
    def hang_up(self, stage: AnyStage) -> None:
        (stage.far if isinstance(stage, Stage) else stage.caller).hang_up()

    def test_the_far_end_hangs_up(self, stage: AnyStage) -> None:
        phone = begin(stage)
        stage.desk.phone.rings()
        self.hang_up(stage)
        stage.run(1)
        assert stage.desk.phone.got == ["INVITE", "CANCEL"]
        assert told(phone.notices) == [100, 180, 487]
        assert phone.got[-1] == "BYE"
        assert not stage.desk.open_ports
        stage.assert_nothing_left()

    def test_it_hangs_up_before_anybody_is_called(self, stage: AnyStage) -> None:
        phone = stage.talking()
        answer = phone.leg.referred(refer_to())
        self.hang_up(stage)
        stage.run(1)
        assert answer.begin is not None
        answer.begin()
        assert not stage.desk.phones

    def test_the_service_stops(self, stage: AnyStage) -> None:
        begin(stage)
        stage.switchboard.shut_down()
        assert stage.desk.phone.got == ["INVITE", "CANCEL"]
        assert not stage.desk.open_ports
        stage.assert_nothing_left()

    def test_it_fails(self, stage: AnyStage) -> None:
        begin(stage)
        (call,) = stage.switchboard._live
        call.fail()
        assert stage.desk.phone.got == ["INVITE", "CANCEL"]
        stage.assert_nothing_left()


class TestRefused:
    @pytest.mark.parametrize(
        ("refer", "status"),
        [
            ({"user": "95551234"}, 404),
            ({"user": "absent"}, 480),
            ({"source_host": "192.0.2.66"}, 403),
        ],
    )
    def test_at_once(self, stage: AnyStage, refer: dict[str, str], status: int) -> None:
        phone = stage.talking()
        assert ask(phone.leg, refer_to(**refer)) == status  # type: ignore[arg-type]
        assert not stage.desk.phones
        assert not phone.notices
        assert is_up(stage)

    def test_another_one_while_one_is_under_way(self, stage: AnyStage) -> None:
        phone = begin(stage)
        assert ask(phone.leg, refer_to()) == 491
        assert ask(stage.desk.phone.leg, refer_to()) == 481

    def test_too_many(self, stage: AnyStage) -> None:
        phone = begin(stage)
        for other in range(1, TRANSFERS_MAX):
            stage.desk.phones[-1].refuses(486)
            assert ask(phone.leg, refer_to()) == 202, other
        stage.desk.phones[-1].refuses(486)
        assert ask(phone.leg, refer_to()) == 403

    def test_before_the_call_is_up(self) -> None:
        stage = Stage()
        phone = stage.dialing()
        assert ask(phone.leg, refer_to()) == 481
        early = Stage(answer_immediately=True).dialing()
        assert ask(early.leg, refer_to()) == 491

    def test_of_a_call_that_is_over(self, stage: AnyStage) -> None:
        phone = stage.talking()
        phone.bye()
        assert ask(phone.leg, refer_to()) == 481


class TestNotices:
    def test_the_first_refer_needs_no_id(self, stage: AnyStage) -> None:
        phone = begin(stage, sequence="7")
        headers, body = phone.notices[0]
        assert dict(headers) == {"Event": "refer", "Subscription-State": "active;expires=120"}
        assert body == "SIP/2.0 100 Trying\r\n"
        assert SIPFRAG.startswith("message/sipfrag")
        stage.desk.phone.refuses(486)
        assert ask(phone.leg, refer_to(sequence="9")) == 202
        assert dict(phone.notices[-1][0])["Event"] == "refer;id=9"

    def test_none_are_wanted(self, stage: AnyStage) -> None:
        phone = begin(stage, subscribes=False)
        stage.desk.phone.answers(B_OFFER)
        assert not phone.notices
        assert phone.got[-1] == "BYE"


class TestAgain:
    def test_the_other_phone_gives_it_on(self, stage: AnyStage) -> None:
        begin(stage)
        second = stage.desk.phone
        second.answers(B_OFFER)
        assert ask(second.leg, refer_to()) == 202
        third = stage.desk.phones[-1]
        third.answers(OFFER)
        assert second.got[-1] == "BYE"
        assert told(second.notices) == [100, 200]
        assert len(stage.desk.moved) == 2
        stage.run(3)
        assert is_up(stage)
        (stage.far if isinstance(stage, Stage) else stage.caller).hang_up()
        stage.run(1)
        assert third.got[-1] == "BYE"
        stage.assert_nothing_left()


def test_a_phone_gets_the_far_ends_cause_after_a_transfer() -> None:
    stage = Stage()
    begin(stage)
    stage.desk.phone.answers(B_OFFER)
    stage.far.hang_up(Cause.USER_BUSY)
    stage.run(1)
    assert dict(stage.desk.phone.headers)["Reason"] == "Q.850;cause=17"
