"""A call from a link: phones that ring, one or several, and what becomes of them."""

import pytest

from bridge.bridging.inbound_call import REFUSAL_TONE_S, Phase
from bridge.iax2 import Cause, ControlSubclass, EndReason, Format
from bridge.media.tones import ToneKind
from tests.lab.bridged_phone import ALAW_OFFER, CalledPhone
from tests.lab.inbound_calls import NUMBER, RING_S, InboundStage, end_of, is_tone, played, reason

PROCEEDING, RINGING, ANSWER = (
    ControlSubclass.PROCEEDING,
    ControlSubclass.RINGING,
    ControlSubclass.ANSWER,
)


@pytest.fixture
def stage() -> InboundStage:
    return InboundStage()


class TestRinging:
    def test_ringback_for_the_caller_and_ringing_for_its_side(self, stage: InboundStage) -> None:
        stage.ringing()
        assert is_tone(stage.media[0], ToneKind.RINGBACK)
        assert stage.caller.told() == [PROCEEDING, RINGING]

    def test_ringback_is_in_the_links_codec(self, stage: InboundStage) -> None:
        stage.answered(formats=(Format.ALAW,))
        stage.caller.dial(f"{NUMBER}#")
        stage.run(0.5)
        stage.phone.rings()
        assert is_tone(stage.media[0], ToneKind.RINGBACK, Format.ALAW)

    def test_it_is_told_once(self, stage: InboundStage) -> None:
        phone = stage.ringing()
        phone.rings()
        stage.run(1.2)
        assert stage.caller.told() == [PROCEEDING, RINGING]

    def test_early_media_is_heard_rather_than_ringback(self, stage: InboundStage) -> None:
        phone = stage.ringing()
        phone.sends_early_media()
        assert played(stage.media[0]) is None
        assert stage.media[0].remotes[-1].host == "192.0.2.10"
        phone.rings()
        assert played(stage.media[0]) is None
        stage.run(1.2)
        assert stage.caller.told() == [PROCEEDING, RINGING, ControlSubclass.PROGRESS]

    def test_nobody_answers(self, stage: InboundStage) -> None:
        phone = stage.ringing()
        stage.run(RING_S)
        assert phone.got == ["INVITE", "CANCEL"]
        assert is_tone(stage.media[0], ToneKind.CONGESTION)
        stage.run(REFUSAL_TONE_S + 1)
        assert end_of(stage) == (EndReason.HANGUP, Cause.NO_ANSWER)
        stage.assert_nothing_left()

    def test_caller_gives_up(self, stage: InboundStage) -> None:
        phone = stage.ringing()
        stage.caller.hang_up()
        stage.run(0.1)
        assert phone.got == ["INVITE", "CANCEL"]
        assert reason(phone) == "Q.850;cause=16"
        stage.assert_nothing_left()

    @pytest.mark.parametrize(
        ("said", "kind", "controls", "cause"),
        [
            ((486, None), ToneKind.BUSY, [ControlSubclass.BUSY], Cause.USER_BUSY),
            ((600, None), ToneKind.BUSY, [ControlSubclass.BUSY], Cause.USER_BUSY),
            ((480, 17), ToneKind.BUSY, [ControlSubclass.BUSY], Cause.USER_BUSY),
            ((404, None), ToneKind.CONGESTION, [], Cause.UNASSIGNED_NUMBER),
            ((603, None), ToneKind.CONGESTION, [], Cause.CALL_REJECTED),
            ((503, None), ToneKind.CONGESTION, [ControlSubclass.CONGESTION], 41),
        ],
    )
    def test_phone_refuses(
        self,
        said: tuple[int, int | None],
        kind: ToneKind,
        controls: list[ControlSubclass],
        cause: int,
    ) -> None:
        stage = InboundStage()
        stage.ringing().refuses(*said)
        assert is_tone(stage.media[0], kind)
        stage.run(REFUSAL_TONE_S + 1)
        assert stage.caller.told()[2:] == controls
        assert end_of(stage) == (EndReason.HANGUP, cause)
        stage.assert_nothing_left()

    def test_caller_need_not_hear_the_tone_to_its_end(self, stage: InboundStage) -> None:
        stage.ringing().refuses(486)
        stage.run(1.0)
        stage.caller.hang_up()
        stage.assert_nothing_left()

    def test_phone_that_cannot_be_called(self, stage: InboundStage) -> None:
        stage.unreachable = {"sip:201@192.0.2.10:5060"}
        stage.dialed()
        stage.run(REFUSAL_TONE_S + 1.5)
        assert stage.caller.told() == [PROCEEDING, ControlSubclass.CONGESTION]
        assert end_of(stage) == (EndReason.HANGUP, Cause.NORMAL_TEMPORARY_FAILURE)


class TestForking:
    URIS = ("sip:201@192.0.2.10", "sip:201@192.0.2.11", "sip:201@192.0.2.12")

    @pytest.fixture
    def phones(self, stage: InboundStage) -> list[CalledPhone]:
        stage.contacts = lambda _number: self.URIS
        stage.dialed()
        assert [phone.uri for phone in stage.phones] == list(self.URIS)
        return stage.phones

    def test_all_contacts_ring_and_the_first_that_answers_has_the_call(
        self, stage: InboundStage, phones: list[CalledPhone]
    ) -> None:
        for phone in phones:
            phone.rings()
        phones[1].answers()
        assert [phone.got[1:] for phone in phones] == [["CANCEL"], [], ["CANCEL"]]
        assert reason(phones[0]) == "Q.850;cause=26"
        assert stage.inbound.phase is Phase.TALKING
        stage.run(2)
        assert stage.caller.told() == [PROCEEDING, RINGING]
        assert len(stage.caller.answers) == 2
        phones[1].bye()
        stage.assert_nothing_left()

    def test_an_answer_that_crosses_the_cancel_changes_nothing(
        self, stage: InboundStage, phones: list[CalledPhone]
    ) -> None:
        phones[0].answers()
        phones[2].answers()
        assert phones[2].got == ["INVITE", "CANCEL"]
        assert stage.inbound.phase is Phase.TALKING

    def test_early_media_of_the_first_is_heard_until_another_answers(
        self, stage: InboundStage, phones: list[CalledPhone]
    ) -> None:
        phones[0].sends_early_media()
        phones[1].sends_early_media(ALAW_OFFER)
        assert [remote.payload_type for remote in stage.media[0].remotes] == [0]
        phones[1].answers(ALAW_OFFER)
        assert [remote.payload_type for remote in stage.media[0].remotes] == [0, 8]

    def test_who_sent_early_media_and_refused_is_heard_no_more(
        self, stage: InboundStage, phones: list[CalledPhone]
    ) -> None:
        phones[0].sends_early_media()
        phones[0].refuses(486)
        phones[1].sends_early_media(ALAW_OFFER)
        assert [remote.payload_type for remote in stage.media[0].remotes] == [0, 8]

    @pytest.mark.parametrize(
        ("statuses", "cause"),
        [
            ((480, 486, 404), Cause.USER_BUSY),
            ((480, 404, 503), Cause.UNASSIGNED_NUMBER),
            ((408, 480, 480), Cause.RECOVERY_ON_TIMER_EXPIRY),
        ],
    )
    def test_the_failure_that_says_most_is_told(
        self,
        stage: InboundStage,
        phones: list[CalledPhone],
        statuses: tuple[int, ...],
        cause: Cause,
    ) -> None:
        for phone, status in zip(phones, statuses, strict=True):
            assert stage.inbound.phase is Phase.RINGING
            phone.refuses(status)
        stage.run(REFUSAL_TONE_S + 1.5)
        assert end_of(stage) == (EndReason.HANGUP, cause)
        stage.assert_nothing_left()

    def test_one_that_cannot_be_called_leaves_the_others(self, stage: InboundStage) -> None:
        stage.contacts = lambda _number: self.URIS
        stage.unreachable = {self.URIS[0]}
        stage.dialed()
        assert len(stage.phones) == 2
        stage.phones[1].answers()
        assert stage.inbound.phase is Phase.TALKING

    def test_the_first_one_says_by_which_ip_audio_arrives(self, stage: InboundStage) -> None:
        stage.contacts = lambda _number: self.URIS
        stage.reached_from = dict.fromkeys(self.URIS[:2], "2001:db8::2")
        stage.unreachable = {self.URIS[0]}
        stage.dialed()
        assert [phone.uri for phone in stage.phones] == [self.URIS[1]]
        assert len(stage.desk.moved) == 1

    def test_a_phone_without_a_contact(self, stage: InboundStage) -> None:
        stage.contacts = lambda _number: ()
        stage.dialed()
        stage.run(REFUSAL_TONE_S + 1.5)
        assert end_of(stage)[0] is EndReason.HANGUP
