"""A call from a link that talks: digits, hold and errors, and how each side ends it."""

from collections.abc import Callable

import pytest

from bridge.bridging.inbound_call import REFUSAL_TONE_S, Phase
from bridge.iax2 import Cause, ControlSubclass, EndReason
from tests.lab.bridged_phone import FOREIGN_OFFER
from tests.lab.inbound_calls import DELAY_S, InboundStage, end_of, played, reason

SLOT_S = 0.5
PROCEEDING, RINGING, ANSWER = (
    ControlSubclass.PROCEEDING,
    ControlSubclass.RINGING,
    ControlSubclass.ANSWER,
)


@pytest.fixture
def stage() -> InboundStage:
    return InboundStage()


class TestTalking:
    def test_the_answer_is_told_and_the_phone_is_heard(self, stage: InboundStage) -> None:
        stage.talking()
        assert stage.inbound.phase is Phase.TALKING
        assert len(stage.caller.answers) == 2
        assert played(stage.media[0]) is None
        assert stage.media[0].remotes[-1].payload_type == 0

    def test_an_answer_without_a_codec_of_ours_is_none(self, stage: InboundStage) -> None:
        phone = stage.ringing()
        phone.answers(FOREIGN_OFFER)
        assert phone.got[-1] == "BYE"
        stage.run(REFUSAL_TONE_S + 1.5)
        assert end_of(stage) == (EndReason.HANGUP, Cause.BEARER_CAPABILITY_NOT_AVAILABLE)
        stage.assert_nothing_left()

    def test_digits_go_both_ways(self, stage: InboundStage) -> None:
        phone = stage.talking()
        stage.caller.dial("12")
        stage.media[0].on_digit("3")
        stage.inbound.on_digit(phone.leg, "4")
        stage.run(1.5)
        assert stage.media[0].digits == "12"
        assert stage.caller.digits == "34"

    def test_no_digits_where_the_link_wants_none(self) -> None:
        stage = InboundStage(link={"in_call_digits": False})
        stage.talking()
        stage.media[0].on_digit("3")
        stage.run(1.5)
        assert stage.caller.digits == ""

    def test_digits_of_a_phone_that_only_rings_are_not_sent(self, stage: InboundStage) -> None:
        stage.ringing()
        stage.media[0].on_digit("3")
        stage.run(1.5)
        assert stage.caller.digits == ""

    def test_hold_and_resume(self, stage: InboundStage) -> None:
        phone = stage.talking()
        assert phone.leg.offered(
            "v=0\r\nc=IN IP4 192.0.2.10\r\nm=audio 4000 RTP/AVP 0\r\na=sendonly\r\n"
        )
        assert not stage.media[0].remotes[-1].receives
        stage.run(65)
        assert stage.inbound.phase is Phase.TALKING

    @pytest.mark.parametrize(("q850", "cause"), [(None, 16), (31, 31)])
    def test_phone_hangs_up(self, stage: InboundStage, q850: int | None, cause: int) -> None:
        stage.talking().bye(q850)
        stage.run(0.1)
        assert end_of(stage) == (EndReason.HANGUP, cause)
        stage.assert_nothing_left()

    def test_caller_hangs_up(self, stage: InboundStage) -> None:
        phone = stage.talking()
        stage.caller.hang_up(Cause.NORMAL_UNSPECIFIED)
        stage.run(0.1)
        assert phone.got[-1] == "BYE"
        assert reason(phone) == "Q.850;cause=31"
        stage.assert_nothing_left()

    def test_phone_that_is_dead(self, stage: InboundStage) -> None:
        phone = stage.talking()
        stage.run(61)
        assert phone.got[-1] == "BYE"
        assert end_of(stage) == (EndReason.HANGUP, Cause.RECOVERY_ON_TIMER_EXPIRY)
        stage.assert_nothing_left()

    def test_a_tail_where_the_link_wants_one(self) -> None:
        stage = InboundStage(link={"tail": True})
        phone = stage.talking()
        stage.drawn = 2.5
        next_slot_at = stage.inbound.next_deadline()
        assert next_slot_at is not None
        phone.bye()
        stage.run(3.0)
        ((at, _, _),) = stage.caller.ended
        assert at == pytest.approx(next_slot_at + 2 * SLOT_S + DELAY_S)
        stage.assert_nothing_left()


class TestOurOwnEnd:
    @pytest.mark.parametrize("phase", list(Phase)[:4], ids=lambda phase: phase.name)
    @pytest.mark.parametrize("ends", ["shut_down", "fail", "cut_short"])
    @pytest.mark.parametrize("tail", [False, True], ids=["at once", "with a tail"])
    def test_in_every_phase(self, phase: Phase, ends: str, *, tail: bool) -> None:
        stage = InboundStage(link={"tail": tail})
        into: dict[Phase, Callable[[], object]] = {
            Phase.COLLECTING: stage.answered,
            Phase.RINGING: stage.ringing,
            Phase.TALKING: stage.talking,
            Phase.LEAVING: lambda: stage.dialed("999"),
        }
        into[phase]()
        inbound = stage.inbound
        assert inbound.phase is phase
        getattr(inbound, ends)()
        assert all(phone.leg.is_over for phone in stage.phones)
        stage.run(3.0)
        assert inbound.phase is Phase.OVER
        assert inbound.next_deadline() is None
        for again in (inbound.shut_down, inbound.fail, inbound.cut_short):
            again()
        assert end_of(stage) == (EndReason.HANGUP, Cause.NORMAL_TEMPORARY_FAILURE)
        stage.assert_nothing_left()

    def test_an_error_ends_one_call_alone(
        self, stage: InboundStage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stage.ringing()

        def broken(*_arguments: object) -> None:
            raise RuntimeError("media broke")

        monkeypatch.setattr(stage.media[0], "send_digit", broken)
        stage.phone.answers()
        stage.caller.dial("1")
        stage.run(0.5)
        assert end_of(stage) == (EndReason.HANGUP, Cause.NORMAL_TEMPORARY_FAILURE)
        stage.assert_nothing_left()
