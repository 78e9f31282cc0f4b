"""One call from a link to a phone: the order of things, what the caller hears, every way to end."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
from structlog.testing import capture_logs

from bridge.bridging.inbound_call import REFUSAL_TONE_S, Phase
from bridge.bridging.link import Acceptance
from bridge.dialing.caller import CallerFormat
from bridge.iax2 import Cause, ControlSubclass, EndReason, Format, IncomingCall
from bridge.media.sources import Source, Tone
from bridge.media.tones import ToneKind
from bridge.sip.sdes import Srtp
from tests.lab.bridged_phone import ALAW_OFFER, FOREIGN_OFFER, OFFER, CalledPhone, FakeMedia
from tests.lab.inbound_calls import (
    DELAY_S,
    EXTENSION,
    LIMITS,
    NUMBER,
    PEER_NAME,
    RING_S,
    InboundStage,
)

SLOT_S = 0.5
PROCEEDING, RINGING, ANSWER = (
    ControlSubclass.PROCEEDING,
    ControlSubclass.RINGING,
    ControlSubclass.ANSWER,
)


@pytest.fixture
def stage() -> InboundStage:
    return InboundStage()


def played(media: FakeMedia) -> Source | None:
    """What goes to the link in the place of the phone's audio."""
    source = getattr(media.pull, "__self__", None)
    return None if source is media.buffer else source


def is_tone(media: FakeMedia, kind: ToneKind, media_format: Format = Format.ULAW) -> bool:
    """Whether the caller hears this tone of the configured country."""
    source = played(media)
    return isinstance(source, Tone) and source._frames == Tone("us", kind, media_format)._frames


def reason(phone: CalledPhone) -> str | None:
    return dict(phone.headers).get("Reason")


def end_of(stage: InboundStage) -> tuple[EndReason, int | None]:
    """How the caller's call ended, which it did once."""
    ((_, why, cause),) = stage.caller.ended
    return why, cause


class TestAnswer:
    def test_a_call_is_answered_at_once_and_its_audio_flows(self, stage: InboundStage) -> None:
        stage.answered()
        assert stage.inbound.phase is Phase.COLLECTING
        assert len(stage.caller.answers) == 1
        assert len(stage.caller.voice) == 1
        assert stage.story.names() == ["media connected"]

    def test_the_links_first_codec_that_the_caller_offers(self, stage: InboundStage) -> None:
        stage.answered(formats=(Format.ALAW, Format.ULAW))
        assert stage.media[0].path is not None
        assert stage.media[0].path.format == Format.ULAW
        stage.caller.hang_up()
        stage.answered(formats=(Format.ALAW,))
        assert stage.media[1].path is not None
        assert stage.media[1].path.format == Format.ALAW

    def test_signals_leave_each_500_ms_whatever_happens(self, stage: InboundStage) -> None:
        stage.talking()
        stage.run(3.0)
        slots = [at for at, _ in stage.caller.controls] + stage.caller.answers[1:]
        first = stage.caller.answers[0]
        for at in slots:
            place = (at - first) / SLOT_S
            assert place == pytest.approx(round(place), abs=0.001)
        for before, after in pairwise(sorted(slots)):
            assert after - before >= SLOT_S - 0.001

    @pytest.mark.parametrize(
        ("how", "cause"),
        [
            ({"extension": "2"}, Cause.NO_ROUTE_DESTINATION),
            ({"formats": (Format.GSM,)}, Cause.BEARER_CAPABILITY_NOT_AVAILABLE),
        ],
    )
    def test_what_is_rejected_and_why(
        self, stage: InboundStage, how: dict[str, str], cause: Cause
    ) -> None:
        stage.answered(**how)
        assert end_of(stage) == (EndReason.REJECTED, cause)
        assert (stage.reception.taken, stage.reception.rejected) == (0, 1)
        assert not stage.media
        stage.assert_nothing_left()

    def test_without_rtp_ports(self, stage: InboundStage) -> None:
        stage.ports_left = 0
        stage.answered()
        assert end_of(stage) == (EndReason.REJECTED, Cause.SWITCH_CONGESTION)

    def test_while_the_bridge_is_overloaded(self, stage: InboundStage) -> None:
        stage.is_overloaded = True
        stage.answered()
        assert end_of(stage) == (EndReason.REJECTED, Cause.SWITCH_CONGESTION)
        assert not stage.media

    def test_while_the_bridge_stops(self, stage: InboundStage) -> None:
        stage.switchboard.shut_down()
        stage.answered()
        assert end_of(stage) == (EndReason.REJECTED, Cause.NORMAL_TEMPORARY_FAILURE)

    @pytest.mark.parametrize("how", [{"username": "other"}, {"secret": b"a guess"}])
    def test_who_proves_nothing_reaches_nobody(
        self, stage: InboundStage, how: dict[str, str]
    ) -> None:
        stage.answered(**how)
        stage.run(20)
        assert not stage.caller.answers
        assert not stage.media
        stage.assert_nothing_left()

    def test_another_secret_is_told_once_until_the_right_one_is_proven(
        self, stage: InboundStage
    ) -> None:
        def told() -> int:
            with capture_logs() as entries:
                stage.answered(secret=b"a guess")
                stage.run(20)
            return sum("another secret" in entry["event"] for entry in entries)

        assert [told(), told()] == [1, 0]
        stage.answered()
        stage.caller.hang_up()
        stage.run(1)
        assert told() == 1

    @pytest.mark.parametrize("extension", [EXTENSION, "2"])
    def test_a_caller_that_gave_up_before_we_heard_of_it(
        self, stage: InboundStage, extension: str
    ) -> None:
        stage.answered()
        call = stage.inbound.calls[0]
        stage.caller.hang_up()
        stage.run(0.1)
        event = IncomingCall(call, PEER_NAME, extension, (Format.ULAW,))
        stage.switchboard.handle_event(event, stage.now)
        assert stage.switchboard.live_calls == 0
        stage.assert_nothing_left()


class TestNumber:
    def test_the_phone_of_the_route_is_called(self, stage: InboundStage) -> None:
        stage.dialed()
        assert stage.phone.uri == "sip:201@192.0.2.10:5060"
        assert "m=audio 20000 RTP/AVP 0 8 101" in stage.phone.offered
        assert "c=IN IP4 192.0.2.2" in stage.phone.offered
        assert stage.inbound.phase is Phase.RINGING

    def test_digits_of_the_number_may_stand_in_another_user(self, stage: InboundStage) -> None:
        stage.dialed("342")
        assert stage.phone.uri == "sip:desk-42@192.0.2.10:5060"

    def test_the_callers_side_is_told_that_the_number_is_good(self, stage: InboundStage) -> None:
        stage.dialed()
        stage.run(0.6)
        assert stage.caller.told() == [PROCEEDING]

    def test_a_number_without_terminator_is_whole_after_a_pause(self, stage: InboundStage) -> None:
        stage.answered()
        stage.caller.dial(NUMBER)
        stage.run(LIMITS.inter_digit_s - 0.1)
        assert not stage.phones
        stage.run(0.8)
        assert stage.phone.uri.startswith("sip:201@")

    @pytest.mark.parametrize(
        ("digits", "cause"),
        [
            ("#", Cause.INVALID_NUMBER_FORMAT),
            ("1" * 17, Cause.INVALID_NUMBER_FORMAT),
            ("999#", Cause.UNASSIGNED_NUMBER),
        ],
    )
    def test_a_wrong_number_is_heard_and_then_told(
        self, stage: InboundStage, digits: str, cause: Cause
    ) -> None:
        stage.answered()
        stage.caller.dial(digits)
        stage.run(1.2)
        assert stage.inbound.phase is Phase.LEAVING
        assert is_tone(stage.media[0], ToneKind.CONGESTION)
        assert not stage.caller.ended
        stage.run(REFUSAL_TONE_S + 1)
        assert end_of(stage) == (EndReason.HANGUP, cause)
        assert stage.caller.told() == []
        assert not stage.phones
        stage.assert_nothing_left()

    @pytest.mark.parametrize(
        ("digits", "caller"), [("*4930*201", "4930"), ("**201", ""), ("201", None)]
    )
    def test_who_calls_stands_before_the_number(self, digits: str, caller: str | None) -> None:
        caller_format = CallerFormat.parse("*{caller}*{called}#", "#")
        limits = replace(LIMITS, digits_max=LIMITS.digits_max + caller_format.room)
        acceptance = Acceptance(PEER_NAME, limits, RING_S, caller_format)
        stage = InboundStage(link={"acceptance": acceptance})
        stage.dialed(digits)
        if caller is None:
            assert not stage.phones
            assert stage.inbound.phase is Phase.LEAVING
            stage.run(10)
            assert end_of(stage) == (EndReason.HANGUP, Cause.INVALID_NUMBER_FORMAT)
        else:
            assert stage.phone.uri == "sip:201@192.0.2.10:5060"
            assert stage.inbound.caller == caller

    def test_without_a_format_nobody_is_told_who_calls(self, stage: InboundStage) -> None:
        stage.dialed()
        assert stage.inbound.caller is None

    def test_a_caller_that_dials_nothing(self, stage: InboundStage) -> None:
        stage.answered()
        stage.run(LIMITS.total_s)
        assert stage.inbound.phase is Phase.LEAVING
        stage.run(REFUSAL_TONE_S + 1)
        assert end_of(stage) == (EndReason.HANGUP, Cause.INVALID_NUMBER_FORMAT)

    def test_digits_while_it_rings_or_after_a_refusal_change_nothing(
        self, stage: InboundStage
    ) -> None:
        stage.ringing()
        stage.caller.dial("99#")
        stage.run(1)
        assert len(stage.phones) == 1
        assert not stage.media[0].digits

    def test_the_number_is_in_no_repr_and_soon_forgotten(self, stage: InboundStage) -> None:
        stage.dialed("3141592")
        inbound = stage.inbound
        assert "141592" not in repr(inbound) + repr(inbound._collector)
        assert inbound._collector.take() == ""


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


class TestEncryptedAudio:
    """SRTP toward the phones: each leg has keys of its own."""

    @pytest.mark.parametrize(
        ("srtp", "profile", "keys"),
        [(Srtp.OFF, "RTP/AVP", 0), (Srtp.OPTIONAL, "RTP/AVP", 3), (Srtp.REQUIRED, "RTP/SAVP", 3)],
    )
    def test_what_is_offered(
        self, stage: InboundStage, srtp: Srtp, profile: str, keys: int
    ) -> None:
        stage.srtp = srtp
        stage.dialed()
        assert f"m=audio 20000 {profile} " in stage.phone.offered
        assert stage.phone.offered.count("a=crypto:") == keys

    def test_two_phones_get_different_keys_and_that_of_the_answer_is_used(
        self, stage: InboundStage
    ) -> None:
        stage.srtp = Srtp.OPTIONAL
        stage.contacts = lambda _number: ("sip:201@192.0.2.10", "sip:201@192.0.2.11")
        stage.dialed()
        first, second = (phone.offered.partition("inline:")[2][:40] for phone in stage.phones)
        assert first != second
        line = next(
            line for line in stage.phones[1].offered.splitlines() if line.startswith("a=crypto:")
        )
        stage.phones[1].answers(f"{OFFER.replace('RTP/AVP', 'RTP/SAVP')}{line}\r\n")
        agreed = stage.media[0].remotes[-1].srtp
        assert agreed is not None
        assert agreed.local == agreed.remote  # it mirrored our own key


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
