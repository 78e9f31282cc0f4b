"""A call from a link to a phone: what it hears first, its number, and encrypted audio."""

from dataclasses import replace
from itertools import pairwise

import pytest
from structlog.testing import capture_logs

from bridge.bridging.inbound_call import REFUSAL_TONE_S, Phase
from bridge.bridging.link import Acceptance
from bridge.dialing.caller import CallerFormat
from bridge.dialing.envelope import GRID_S
from bridge.iax2 import Cause, ControlSubclass, EndReason, Format, IncomingCall
from bridge.media.tones import ToneKind
from bridge.sip.sdes import Srtp
from tests.lab.bridged_phone import OFFER
from tests.lab.inbound_calls import (
    EXTENSION,
    LIMITS,
    NUMBER,
    PEER_NAME,
    RING_S,
    InboundStage,
    end_of,
    is_tone,
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
        first = min(slots)
        assert (first - stage.caller.answers[0]) % SLOT_S < GRID_S
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
