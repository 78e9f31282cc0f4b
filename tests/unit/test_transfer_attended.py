"""Attended transfers: to another call of the phone, and two calls of it made one."""

import pytest

from bridge.bridging.phases import Phase
from bridge.iax2 import Cause, EndReason
from tests.lab.bridged_calls import Stage
from tests.lab.bridged_phone import Phone
from tests.lab.inbound_calls import InboundStage
from tests.lab.transfer_stages import B_OFFER, AnyStage, begin, is_up
from tests.lab.transfers import ask, refer_to, told


@pytest.fixture(params=[Stage, InboundStage], ids=["to the link", "from the link"])
def stage(request: pytest.FixtureRequest) -> AnyStage:
    made: AnyStage = request.param()
    return made


class TestAttended:
    def test_a_dialog_between_the_phones(self, stage: AnyStage) -> None:
        phone = begin(stage, replaces="abc@phone", referred_by="sip:201@192.0.2.1")
        assert dict(stage.desk.phone.invited_with) == {
            "Referred-By": "<sip:201@192.0.2.1>",
            "Replaces": "abc@phone;to-tag=one;from-tag=two",
            "Require": "replaces",
        }
        stage.desk.phone.answers(B_OFFER)
        assert told(phone.notices) == [100, 200]

    def test_a_phone_that_does_not_know_the_dialog(self, stage: AnyStage) -> None:
        phone = begin(stage, replaces="abc@phone")
        stage.desk.phone.refuses(481)
        assert told(phone.notices) == [100, 481]
        assert is_up(stage)


class TestTwoCallsOfOnePhone:
    def both(self, stage: Stage) -> tuple[Phone, Phone]:
        return stage.talking(call_id="first"), stage.talking(call_id="second")

    def test_the_far_ends_talk_with_each_other(self) -> None:
        stage = Stage()
        first, second = self.both(stage)
        assert ask(first.leg, refer_to(replaces="second")) == 202
        assert told(first.notices) == [200]
        assert (first.got[-1], second.got[-1]) == ("BYE", "BYE")
        assert not stage.desk.phones
        one, other = (media.remotes[-1] for media in stage.media)
        assert (one.host, other.host) == ("127.0.0.1", "127.0.0.1")
        assert (one.port, other.port) == (stage.media[1].rtp_port, stage.media[0].rtp_port)
        assert one.payload_type == other.payload_type
        stage.run(90)  # with no audio at all
        assert not stage.far.ended
        stage.far.hang_up(Cause.USER_BUSY)
        stage.run(1)
        assert stage.far.ended == [
            (EndReason.LOCAL, None),
            (EndReason.HANGUP, Cause.USER_BUSY),
        ]
        stage.assert_nothing_left()

    @pytest.mark.parametrize(
        ("user", "status"), [("someone", 403), ("", 202)], ids=["another phone", "one by address"]
    )
    def test_the_other_call_is_the_same_phones(self, user: str, status: int) -> None:
        stage = Stage()
        phone = stage.dial(call_id="first", user="desk")
        other = stage.dial(call_id="second", user=user)
        stage.run(3)
        for each in (phone, other):
            each.leg.established()
        assert ask(phone.leg, refer_to(replaces="second")) == status

    def test_a_call_that_is_being_transferred_or_its_own(self) -> None:
        stage = Stage()
        first, second = self.both(stage)
        assert ask(second.leg, refer_to()) == 202
        assert ask(first.leg, refer_to(replaces="second")) == 481
        assert ask(first.leg, refer_to(replaces="first")) == 481

    def test_there_are_no_ports(self) -> None:
        stage = Stage()
        first, second = self.both(stage)
        stage.desk.ports_left = 1
        assert ask(first.leg, refer_to(replaces="second")) == 202
        assert told(first.notices) == [503]
        assert not stage.desk.open_ports
        assert not second.leg.is_over

    def test_the_other_call_ends_before_the_answer_is_sent(self) -> None:
        stage = Stage()
        first, second = self.both(stage)
        answer = first.leg.referred(refer_to(replaces="second"))
        second.bye()
        stage.run(1)
        assert answer.begin is not None
        answer.begin()
        assert told(first.notices) == [481]
        assert stage.bridged.phase is Phase.TALKING

    def test_a_service_that_stops_ends_both(self) -> None:
        stage = Stage()
        first, _ = self.both(stage)
        assert ask(first.leg, refer_to(replaces="second")) == 202
        stage.switchboard.shut_down()
        stage.assert_nothing_left()
