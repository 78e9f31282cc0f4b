"""One call, phone to far end: the order of things, every way to end it, and what stays secret."""

from collections.abc import Callable
from itertools import pairwise

import pytest

from bridge.bridging.phases import Phase
from bridge.dialing.envelope import GRID_S, grid_point
from bridge.iax2 import CalleeCall, Cause, ControlSubclass, EndReason, Format
from bridge.media.sources import Source, Tone
from bridge.media.srtp import SrtpKeys, Suite
from bridge.media.tones import ToneKind
from bridge.sip.leg import LegState
from bridge.sip.sdes import Srtp
from bridge.sip.sdp import parse_sdp_untrusted
from tests.lab.bridged_calls import (
    CNG,
    DELAY_S,
    NUMBER,
    START_DELAY_S,
    Stage,
    signals,
    with_profile,
)
from tests.lab.bridged_phone import ALAW_OFFER, OFFER, SECURE_OFFER

SLOTS = 26
SLOT_S = 0.060
IN_CALL_SLOT_S = 0.5


@pytest.fixture
def stage() -> Stage:
    return Stage()


class TestCallSetUp:
    def test_the_order_of_things(self, stage: Stage) -> None:
        stage.dial()
        stage.run(3.0)
        assert stage.story.names() == ["180", "media connected", "183", "200"]

    def test_ringing_is_at_once(self, stage: Stage) -> None:
        phone = stage.dial()
        assert phone.got == [180]

    def test_answer_waits_for_the_acknowledgement_of_the_last_dialing_slot(
        self, stage: Stage
    ) -> None:
        stage.dial()
        stage.run(3.0)
        terminator_arrived_at = stage.far.signals[SLOTS - 1][0]
        assert stage.story.at("200") == pytest.approx(terminator_arrived_at + DELAY_S)

    def test_audio_settles_a_second_behind_the_burst_whatever_the_number(
        self, stage: Stage
    ) -> None:
        stage.dial()
        stage.run(3.0)
        terminator_left_at = stage.far.signals[SLOTS - 1][0] - DELAY_S
        assert stage.media[0].settles_at == pytest.approx(terminator_left_at + SLOT_S + 1.0)

    def test_audio_stays_where_the_phones_answer_has_no_known_time(self) -> None:
        stage = Stage(answer_with_far_end=True)
        stage.dial()
        stage.run(3.0)
        assert stage.media[0].settles_at is None

    def test_answer_immediately_comes_with_the_far_ends(self) -> None:
        stage = Stage(answer_immediately=True)
        phone = stage.dial()
        stage.run(0.2)
        assert phone.got == [180, 183, 200]
        stage.run(3.0)
        assert phone.got == [180, 183, 200]
        assert stage.far.digits == f"{NUMBER}#"
        assert stage.bridged.phase is Phase.TALKING

    def test_description_is_that_of_the_link(self, stage: Stage) -> None:
        phone = stage.dial()
        stage.run(0.5)
        (sdp,) = phone.sdp
        assert "m=audio 20000 RTP/AVP 0 101" in sdp
        assert "c=IN IP4 192.0.2.1" in sdp

    def test_codec_that_the_far_end_chose_comes_first(self, stage: Stage) -> None:
        stage.far.behave = accept_and_answer(stage, Format.ALAW)
        phone = stage.dial()
        stage.run(0.5)
        assert "m=audio 20000 RTP/AVP 8 101" in phone.sdp[-1]
        assert stage.media[0].format == Format.ALAW

    def test_far_end_decides_among_the_links_codecs(self, stage: Stage) -> None:
        with_profile(stage, formats=(Format.ULAW, Format.G722))
        stage.far.behave = accept_and_answer(stage, Format.G722)
        phone = stage.dial(offer=OFFER.replace("0 8 101", "0 9 101"))
        stage.run(0.5)
        assert "m=audio 20000 RTP/AVP 9 101" in phone.sdp[-1]
        formats = [remote.format for remote in stage.media[0].remotes]
        assert (formats[0], formats[-1]) == (Format.ULAW, Format.G722)

    def test_far_end_may_choose_what_the_phone_does_not_have(self, stage: Stage) -> None:
        with_profile(stage, formats=(Format.ULAW, Format.G722))
        stage.far.behave = accept_and_answer(stage, Format.G722)
        phone = stage.dial()
        stage.run(0.2)
        assert phone.got[-1] == 488
        assert phone.leg.is_over
        assert stage.bridged.phase is Phase.LEAVING
        last = stage.media[0].remotes[-1]
        assert (last.format, last.sends, last.receives) == (Format.G722, False, False)
        stage.run(3.0)
        assert signals(stage) == "." * SLOTS
        assert stage.far.ended == [(EndReason.HANGUP, Cause.BEARER_CAPABILITY_NOT_AVAILABLE)]
        stage.assert_nothing_left()

    def test_control_frame_is_no_tone_in_a_codec_that_we_cannot_encode(self, stage: Stage) -> None:
        with_profile(stage, formats=(Format.G722,))
        stage.far.behave = accept_and_answer(stage, Format.G722)
        phone = stage.dial(offer=OFFER.replace("0 8 101", "9 101"))
        stage.run(3.0)
        stage.far.control(ControlSubclass.RINGING)
        stage.run(0.5)
        assert stage.media[0].tones == []
        assert phone.leg.state is LegState.UP

    def test_keys_of_the_phone_are_answered_and_given_to_the_relay(self, stage: Stage) -> None:
        phone = stage.dial(offer=SECURE_OFFER, srtp=Srtp.REQUIRED)
        stage.run(0.5)
        (ours,) = parse_sdp_untrusted(phone.sdp[-1], Srtp.REQUIRED).crypto
        assert "RTP/SAVP" in phone.sdp[-1]
        assert {remote.srtp for remote in stage.media[0].remotes} == {
            SrtpKeys(Suite.AES_CM_80, ours.key, bytes(30))
        }

    def test_phone_without_offer_gets_keys(self, stage: Stage) -> None:
        phone = stage.dial(offer="", srtp=Srtp.REQUIRED)
        stage.run(0.5)
        assert len(parse_sdp_untrusted(phone.sdp[-1], Srtp.REQUIRED).crypto) == len(Suite)
        phone.leg.answered(SECURE_OFFER)
        (remote,) = stage.media[0].remotes
        assert remote.srtp is not None
        assert not phone.leg.is_over

    def test_phone_that_answers_in_clear_is_hung_up(self, stage: Stage) -> None:
        phone = stage.dial(offer="", srtp=Srtp.REQUIRED)
        stage.run(0.5)
        phone.leg.answered(OFFER)
        assert phone.leg.is_over
        assert stage.media[0].remotes == []

    def test_phone_that_wants_our_offer(self, stage: Stage) -> None:
        phone = stage.dial(offer="")
        stage.run(3.0)
        assert phone.got == [180, 183, 200]
        assert "RTP/AVP 0 8 101" in phone.sdp[0]
        assert not stage.media[0].remotes
        phone.leg.established()
        assert phone.leg.awaits_answer
        phone.leg.answered(ALAW_OFFER)
        assert stage.media[0].format == Format.ALAW

    def test_voice_begins_with_the_answer(self, stage: Stage) -> None:
        stage.dial()
        stage.run(0.2)
        assert stage.far.voice_frames == 1
        assert not stage.far.signals


class TestDialing:
    def test_every_slot_is_filled(self, stage: Stage) -> None:
        stage.dial()
        stage.run(2.5)
        assert signals(stage)[:SLOTS] == NUMBER.ljust(SLOTS - 1, ".") + "#"

    def test_slots_are_a_grid_from_the_start_delay_on(self, stage: Stage) -> None:
        stage.dial()
        stage.run(4.0)
        times = [at for at, _ in stage.far.signals]
        answered_at = stage.story.at("183")
        late_s = times[0] - DELAY_S - (answered_at + START_DELAY_S)
        assert 0 <= late_s < GRID_S
        assert grid_point(times[SLOTS - 1] - DELAY_S - 0.001) + DELAY_S == pytest.approx(
            times[SLOTS - 1]
        )
        steps = [after - before for before, after in pairwise(times)]
        assert steps[: SLOTS - 1] == pytest.approx([SLOT_S] * (SLOTS - 1))
        assert steps[SLOTS - 1 :] == pytest.approx([IN_CALL_SLOT_S] * len(steps[SLOTS - 1 :]))

    def test_digits_typed_while_dialing_come_after_the_number(self, stage: Stage) -> None:
        stage.dialing()
        stage.media[0].on_digit("7")
        stage.media[0].on_digit("8")
        stage.run(3.0)
        assert stage.far.digits == f"{NUMBER}#78"

    def test_digits_typed_before_the_answer_are_not_sent(self, stage: Stage) -> None:
        stage.dial()
        stage.media[0].on_digit("7")
        stage.run(4.0)
        assert stage.far.digits == f"{NUMBER}#"

    def test_number_is_gone_from_memory_once_it_is_dialed(self, stage: Stage) -> None:
        stage.dial()
        stage.run(0.2)
        bridged = stage.bridged
        assert bridged._attempts._way is None
        stage.run(3.0)
        assert bridged._slots is not None
        assert not bridged._slots._dialing

    @pytest.mark.parametrize("seconds", [0.01, 1.0])
    def test_number_is_gone_from_memory_when_the_call_ends_early(
        self, stage: Stage, seconds: float
    ) -> None:
        stage.dial()
        stage.run(seconds)
        bridged = stage.bridged
        bridged.shut_down()
        assert bridged._attempts._way is None
        assert bridged._slots is None or not any(bridged._slots._dialing)

    def test_number_is_in_no_repr(self, stage: Stage) -> None:
        stage.dialing()
        bridged = stage.bridged
        told = [repr(bridged), repr(bridged.link), repr(bridged._slots), repr(bridged.calls)]
        assert NUMBER not in "".join(told)


class TestCallInProgress:
    def test_digits_of_the_phone_leave_one_in_each_slot(self, stage: Stage) -> None:
        phone = stage.talking()
        began_at = stage.now
        for digit in "12":
            stage.media[0].on_digit(digit)
        phone.leg._handler.on_digit(phone.leg, "3")  # type: ignore[union-attr]
        stage.run(2.5)
        assert stage.far.digits == f"{NUMBER}#123"
        times = [at for at, name in stage.far.signals if at > began_at and name != CNG]
        steps = [after - before for before, after in pairwise(times)]
        assert steps == pytest.approx([IN_CALL_SLOT_S] * 2)

    def test_digits_of_the_phone_are_dropped_where_the_link_wants_none(self) -> None:
        stage = Stage(in_call_digits=False)
        phone = stage.talking()
        stage.media[0].on_digit("1")
        phone.leg._handler.on_digit(phone.leg, "2")  # type: ignore[union-attr]
        stage.run(2.0)
        assert stage.far.digits == f"{NUMBER}#"
        assert stage.bridged._digits_dropped == 2

    def test_digits_of_the_link_go_to_the_phone(self, stage: Stage) -> None:
        stage.talking()
        for digit in "12#":
            stage.far.calls[0].send_digit(digit, stage.now)
        stage.run(0.5)
        assert stage.media[0].digits == "12#"

    def test_voice_in_full_frames_goes_to_the_phone(self, stage: Stage) -> None:
        stage.talking()
        voice = stage.far.calls[0].voice
        assert voice is not None
        stage.far.calls[0].send_voice(b"\x11" * 160, voice.elapsed_ms(stage.now), stage.now)
        stage.run(0.1)
        assert stage.media[0].voice == [b"\x11" * 160]

    @pytest.mark.parametrize(
        ("subclass", "kind"),
        [
            (ControlSubclass.RINGING, ToneKind.RINGBACK),
            (ControlSubclass.BUSY, ToneKind.BUSY),
            (ControlSubclass.CONGESTION, ToneKind.CONGESTION),
        ],
    )
    def test_control_frames_become_tones(
        self, stage: Stage, subclass: ControlSubclass, kind: ToneKind
    ) -> None:
        stage.talking()
        stage.far.control(subclass)
        stage.run(0.1)
        (tone,) = stage.media[0].tones
        assert start_of(tone) == start_of(Tone("us", kind, Format.ULAW))

    def test_tone_is_in_the_phones_codec(self, stage: Stage) -> None:
        stage.dial(offer=ALAW_OFFER)
        stage.run(3.0)
        stage.far.control(ControlSubclass.BUSY)
        stage.run(0.1)
        assert start_of(stage.media[0].tones[0]) == start_of(Tone("us", ToneKind.BUSY, Format.ALAW))

    def test_stop_tones_ends_a_tone(self, stage: Stage) -> None:
        stage.talking()
        stage.far.control(ControlSubclass.RINGING)
        stage.far.control(ControlSubclass.STOP_TONES)
        stage.run(0.1)
        assert stage.media[0].tones[-1] is None

    def test_far_end_that_answers_behind_an_asterisk_ends_the_ringback(self, stage: Stage) -> None:
        stage.talking()
        stage.far.control(ControlSubclass.RINGING)
        stage.run(0.1)
        stage.far.calls[0].answer(stage.now)
        stage.run(0.1)
        assert stage.media[0].tones[-1] is None
        assert stage.bridged.phase is Phase.TALKING

    @pytest.mark.parametrize(
        "subclass",
        [ControlSubclass.PROGRESS, ControlSubclass.PROCEEDING, ControlSubclass.SOURCE_UPDATE],
    )
    def test_other_control_frames_leave_a_tone_alone(
        self, stage: Stage, subclass: ControlSubclass
    ) -> None:
        stage.talking()
        stage.far.control(ControlSubclass.RINGING)
        stage.far.control(subclass)
        stage.run(0.1)
        assert len(stage.media[0].tones) == 1

    def test_tone_follows_the_phone_to_another_codec(self, stage: Stage) -> None:
        phone = stage.talking()
        stage.far.control(ControlSubclass.BUSY)
        stage.run(0.1)
        assert phone.offers("sendrecv", ALAW_OFFER)
        assert start_of(stage.media[0].tones[-1]) == start_of(
            Tone("us", ToneKind.BUSY, Format.ALAW)
        )


def accept_and_answer(stage: Stage, media_format: Format) -> Callable[[CalleeCall], None]:
    def behave(call: CalleeCall) -> None:
        call.accept(media_format, stage.now)
        call.answer(stage.now)

    return behave


def start_of(source: Source | None) -> list[bytes]:
    assert source is not None
    return [source.next_frame() for _ in range(25)]
