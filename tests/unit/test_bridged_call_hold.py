"""A phone of a bridged call holds: what the far end hears and sees meanwhile."""

import pytest

from bridge.iax2 import Cause, EndReason
from tests.lab.bridged_calls import Stage
from tests.lab.bridged_phone import FOREIGN_OFFER, q850


@pytest.fixture
def stage() -> Stage:
    return Stage()


class TestHold:
    def test_hold_and_resume(self, stage: Stage) -> None:
        phone = stage.talking()
        media = stage.media[0]
        assert phone.offers("inactive")
        assert (media.remotes[-1].sends, media.remotes[-1].receives) == (False, False)
        assert "a=inactive" in phone.leg.session_description(is_answer=True)
        assert phone.offers("sendrecv")
        assert (media.remotes[-1].sends, media.remotes[-1].receives) == (True, True)
        stage.run(1.0)
        assert not phone.leg.is_over

    def test_offer_without_a_codec_is_refused_and_changes_nothing(self, stage: Stage) -> None:
        phone = stage.talking()
        assert phone.offers("inactive")
        negotiated = len(stage.media[0].remotes)
        assert not phone.offers("sendrecv", FOREIGN_OFFER)
        assert len(stage.media[0].remotes) == negotiated
        stage.run(100.0)
        assert not phone.leg.is_over

    def test_offer_without_a_codec_before_the_answer_changes_nothing(self, stage: Stage) -> None:
        stage.far.behave = stage.far.accept
        phone = stage.dial()
        stage.run(0.2)
        assert not phone.offers("sendrecv", FOREIGN_OFFER)
        negotiated = len(stage.media[0].remotes)
        stage.far.calls[0].answer(stage.now)
        stage.run(0.2)
        assert len(stage.media[0].remotes) == negotiated + 1

    def test_phone_that_sends_nothing_for_a_minute_is_dead(self, stage: Stage) -> None:
        phone = stage.talking()
        began_at = stage.story.at("200")
        stage.run(70.0)
        assert phone.got[-1] == "BYE"
        assert q850(phone) == "Q.850;cause=102"
        assert 60 < stage.story.at("BYE") - began_at <= 60.6
        assert stage.far.ended == [(EndReason.HANGUP, Cause.RECOVERY_ON_TIMER_EXPIRY)]
        stage.assert_nothing_left()

    def test_phone_that_sends_is_alive(self, stage: Stage) -> None:
        phone = stage.talking()
        for _ in range(4):
            stage.media[0].last_rtp_at = stage.now
            stage.run(50.0)
        assert not phone.leg.is_over
        stage.run(11.0)
        assert phone.leg.is_over

    @pytest.mark.parametrize("direction", ["sendonly", "recvonly", "inactive"])
    def test_phone_on_hold_may_be_quiet(self, stage: Stage, direction: str) -> None:
        phone = stage.talking()
        assert phone.offers(direction)
        stage.run(100.0)
        assert not phone.leg.is_over

    def test_phone_on_hold_is_dead_after_an_hour(self, stage: Stage) -> None:
        phone = stage.talking()
        assert phone.offers("inactive")
        stage.run(3590.0)
        assert not phone.leg.is_over
        stage.run(20.0)
        assert phone.got[-1] == "BYE"

    def test_phone_that_resumes_after_a_long_hold_gets_its_minute(self, stage: Stage) -> None:
        phone = stage.talking()
        phone.offers("inactive")
        stage.run(300.0)
        phone.offers("sendrecv")
        stage.run(59.0)
        assert not phone.leg.is_over
        stage.run(2.0)
        assert phone.leg.is_over

    def test_silence_while_the_link_is_set_up_does_not_count(self, stage: Stage) -> None:
        stage.far.behave = stage.far.accept
        phone = stage.dial()
        stage.run(7.0)
        stage.far.calls[0].answer(stage.now)
        stage.run(56.0)
        assert phone.got[-1] == 200
