"""Every way in which a call ends, in each of its phases: who is told what, and nothing is left."""

from dataclasses import replace

import pytest

from bridge.dialing.envelope import grid_point
from bridge.iax2 import (
    Cause,
    ChallengeMemory,
    ControlSubclass,
    Endpoint,
    EndReason,
)
from bridge.iax2.auth import Address
from bridge.iax2.constants import IaxSubclass
from bridge.iax2.frames import FullFrame, parse_frame_untrusted
from tests.lab.bridged_calls import (
    DELAY_S,
    FAR,
    NEAR,
    NUMBER,
    START_DELAY_S,
    Stage,
    signals,
    with_profile,
)
from tests.lab.bridged_phone import q850

SLOTS = 26
SLOT_S = 0.060
IN_CALL_SLOT_S = 0.5


@pytest.fixture
def stage() -> Stage:
    return Stage()


class Forgetful(ChallengeMemory):
    """Takes the first challenges for repeated ones."""

    def __init__(self, repeated: int) -> None:
        super().__init__(bytes)
        self.repeated = repeated

    def is_new(self, challenge: bytes) -> bool:
        self.repeated -= 1
        return super().is_new(challenge) and self.repeated < 0


class LosesChallenges(Endpoint):
    """Gets an ACK where the challenges of the first calls should come, as under loss."""

    def __init__(self, stage: Stage, lost: int) -> None:
        super().__init__(entropy=stage.simulation.entropy)
        self._lost_from: set[int] = set()
        self._lost = lost

    def receive_datagram(self, data: bytes, address: Address, now: float) -> None:
        frame = parse_frame_untrusted(data)
        if isinstance(frame, FullFrame) and frame.subclass == IaxSubclass.AUTHREQ:
            number = frame.source_call_number
            if len(self._lost_from) < self._lost or number in self._lost_from:
                self._lost_from.add(number)
                data = replace(frame, subclass=IaxSubclass.ACK, data=b"").encode()
        super().receive_datagram(data, address, now)


def losing_challenges(lost: int) -> Stage:
    stage = Stage()
    stage.near = LosesChallenges(stage, lost)
    stage.simulation.endpoints[NEAR] = stage.near
    return stage


class TestPhoneGivesUp:
    def test_before_the_far_end_has_said_anything(self, stage: Stage) -> None:
        phone = stage.dial()
        stage.run(0.01)
        phone.cancel()
        stage.assert_nothing_left()
        assert not stage.far.calls

    def test_while_the_link_is_set_up(self, stage: Stage) -> None:
        stage.far.behave = stage.far.accept
        phone = stage.dial()
        stage.run(0.5)
        phone.cancel()
        stage.run(0.1)
        assert stage.far.ended == [(EndReason.HANGUP, Cause.NORMAL_CLEARING)]
        assert not stage.far.signals
        assert phone.got == [180]
        stage.assert_nothing_left()

    def test_while_the_answer_is_on_its_way(self, stage: Stage) -> None:
        stage.far.behave = stage.far.accept
        phone = stage.dial()
        stage.run(0.5)
        stage.far.calls[0].answer(stage.now)
        stage.run(DELAY_S / 2)
        phone.cancel()
        stage.run(1.0)
        assert not stage.far.signals
        assert phone.got == [180]
        stage.assert_nothing_left()

    @pytest.mark.parametrize("seconds", [0.15, 0.3, 0.7, 1.0, 1.9])
    def test_while_dialing_the_envelope_completes_without_the_rest(
        self, stage: Stage, seconds: float
    ) -> None:
        phone = stage.dial()
        stage.run(seconds)
        sent_before = len(signals(stage)) + 1
        phone.cancel()
        stage.run(3.0)
        assert len(signals(stage)) == SLOTS
        assert "#" not in signals(stage)
        assert set(signals(stage)[sent_before:]) <= {"."}
        last_slot_at = stage.far.signals[-1][0]
        assert stage.story.at("link ended") == pytest.approx(last_slot_at + IN_CALL_SLOT_S)
        assert stage.far.ended == [(EndReason.HANGUP, Cause.NORMAL_CLEARING)]
        assert phone.got == [180, 183]
        stage.assert_nothing_left()

    def test_bye_while_dialing_after_an_immediate_answer(self) -> None:
        stage = Stage(answer_immediately=True)
        phone = stage.dialing()
        phone.bye()
        stage.run(3.0)
        assert len(signals(stage)) == SLOTS
        assert "#" not in signals(stage)
        assert phone.got == [180, 183, 200]
        stage.assert_nothing_left()

    def test_digits_that_wait_are_not_sent_after_all(self, stage: Stage) -> None:
        phone = stage.dialing()
        stage.media[0].on_digit("7")
        phone.cancel()
        stage.media[0].on_digit("8")
        stage.run(3.0)
        assert "7" not in stage.far.digits
        assert "8" not in stage.far.digits

    def test_phone_that_has_gone_is_sent_nothing_any_more(self, stage: Stage) -> None:
        phone = stage.dialing()
        phone.cancel()
        remote = stage.media[0].remotes[-1]
        assert not remote.sends
        assert not remote.receives
        assert not stage.media[0].closed

    def test_when_all_is_dialed_but_nothing_acknowledged(self, stage: Stage) -> None:
        phone = stage.dial()
        dialed_at = grid_point(stage.now + 0.12 + START_DELAY_S + (SLOTS - 1) * SLOT_S)
        stage.run(dialed_at - stage.now + 0.01)
        assert phone.got[-1] == 183
        phone.cancel()
        stage.run(0.1)
        assert stage.far.digits == f"{NUMBER}#"
        assert stage.far.ended == [(EndReason.HANGUP, Cause.NORMAL_CLEARING)]
        stage.assert_nothing_left()

    @pytest.mark.parametrize(
        ("told", "cause"), [(None, Cause.NORMAL_CLEARING), (Cause.USER_BUSY, Cause.USER_BUSY)]
    )
    def test_in_the_call(self, stage: Stage, told: int | None, cause: int) -> None:
        phone = stage.talking()
        phone.bye(told)
        stage.run(DELAY_S * 2)
        assert stage.far.ended == [(EndReason.HANGUP, cause)]
        assert stage.media[0].closed
        stage.assert_nothing_left()

    def test_leg_that_fails_tells_the_link(self, stage: Stage) -> None:
        phone = stage.talking()
        phone.leg.disconnected(408, "Request Timeout", None)
        stage.run(0.1)
        assert stage.far.ended == [(EndReason.HANGUP, Cause.RECOVERY_ON_TIMER_EXPIRY)]

    def test_being_told_twice_does_nothing(self, stage: Stage) -> None:
        phone = stage.talking()
        bridged = stage.bridged
        phone.bye()
        bridged.on_ended(phone.leg, 200, "", None)
        stage.assert_nothing_left()
        assert len(stage.far.ended) == 1


class TestLinkEnds:
    @pytest.mark.parametrize(
        ("cause", "status"),
        [
            (Cause.CALL_REJECTED, 403),
            (Cause.USER_BUSY, 486),
            (Cause.UNASSIGNED_NUMBER, 404),
            (Cause.SWITCH_CONGESTION, 503),
        ],
    )
    def test_rejected(self, stage: Stage, cause: Cause, status: int) -> None:
        stage.far.behave = stage.far.reject(cause)
        phone = stage.dial()
        stage.run(1.0)
        assert phone.got == [180, status]
        assert ("Retry-After" in dict(phone.headers)) is (status == 503)
        assert q850(phone) == f"Q.850;cause={int(cause)}"
        stage.assert_nothing_left()

    def test_hung_up_before_the_answer(self, stage: Stage) -> None:
        stage.far.behave = stage.far.accept
        phone = stage.dial()
        stage.run(0.5)
        stage.far.hang_up(Cause.USER_BUSY)
        stage.run(0.1)
        assert phone.got == [180, 486]
        stage.assert_nothing_left()

    @pytest.mark.parametrize(
        ("subclass", "status"), [(ControlSubclass.BUSY, 486), (ControlSubclass.CONGESTION, 503)]
    )
    def test_busy_before_the_answer_is_told_as_a_status(
        self, stage: Stage, subclass: ControlSubclass, status: int
    ) -> None:
        stage.far.behave = stage.far.accept
        phone = stage.dial()
        stage.run(0.2)
        stage.far.control(subclass)
        stage.run(0.1)
        assert phone.got == [180, status]
        assert not stage.media[0].tones
        assert [reason for reason, _ in stage.far.ended] == [EndReason.HANGUP]
        stage.assert_nothing_left()

    def test_ringing_before_the_answer_makes_no_sound(self, stage: Stage) -> None:
        stage.far.behave = stage.far.accept
        stage.dial()
        stage.run(0.2)
        stage.far.control(ControlSubclass.RINGING)
        stage.far.control(ControlSubclass.STOP_TONES)
        stage.far.calls[0].send_digit("1", stage.now)
        stage.run(0.1)
        assert not stage.media[0].tones
        assert not stage.media[0].digits

    def test_hung_up_while_dialing(self, stage: Stage) -> None:
        phone = stage.dialing()
        stage.far.hang_up(Cause.UNASSIGNED_NUMBER)
        stage.run(0.1)
        assert phone.got == [180, 183, 404]
        stage.assert_nothing_left()

    def test_hung_up_while_dialing_for_a_phone_that_has_gone(self, stage: Stage) -> None:
        phone = stage.dialing()
        phone.cancel()
        stage.far.hang_up()
        stage.run(0.1)
        assert phone.got == [180, 183]
        assert stage.switchboard.live_calls == 0
        stage.assert_nothing_left()

    @pytest.mark.parametrize(
        ("cause", "told"), [(Cause.NORMAL_CLEARING, 16), (Cause.USER_BUSY, 17), (0, 16)]
    )
    def test_hung_up_in_the_call(self, stage: Stage, cause: int, told: int) -> None:
        phone = stage.talking()
        stage.far.hang_up(cause)
        stage.run(DELAY_S * 2)
        assert phone.got[-1] == "BYE"
        assert q850(phone) == f"Q.850;cause={told}"
        assert stage.media[0].closed
        stage.assert_nothing_left()

    @pytest.mark.parametrize("batch", ["in order", "reordered"])
    def test_answered_and_hung_up_in_one_batch(
        self, stage: Stage, batch: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stage.far.behave = stage.far.accept
        phone = stage.dial()
        stage.run(0.5)
        held = hold_back(stage, monkeypatch)
        stage.far.calls[0].answer(stage.now)
        stage.far.hang_up(Cause.USER_BUSY)
        stage.run(0.1)
        for data in held if batch == "in order" else held[::-1]:
            Endpoint.receive_datagram(stage.near, data, FAR, stage.now)
        stage.run(0.0)
        assert phone.got[-1] == 486
        assert 500 not in phone.got

    def test_peer_that_is_absent(self, stage: Stage) -> None:
        stage.simulation.endpoints.pop(FAR)
        phone = stage.dial()
        stage.run(7.9)
        assert phone.got == [180]
        stage.run(0.2)
        assert phone.got == [180, 503]
        assert dict(phone.headers)["Retry-After"] == "30"

    def test_peer_that_disappears_in_the_call(self, stage: Stage) -> None:
        phone = stage.talking()
        stage.simulation.endpoints.pop(FAR)
        for _ in range(60):
            stage.media[0].last_rtp_at = stage.now
            stage.run(1.0)
        assert phone.got[-1] == "BYE"
        assert q850(phone) == "Q.850;cause=38"

    def test_secrets_that_differ(self, stage: Stage) -> None:
        with_profile(stage, secret=b"another one")
        phone = stage.dial()
        stage.run(6.0)
        assert phone.got == [180, 503]
        stage.assert_nothing_left()

    @pytest.mark.parametrize("repeats", [1, 2])
    def test_repeated_challenge_is_answered_by_another_call(self, repeats: int) -> None:
        stage = Stage()
        with_profile(stage, challenges=Forgetful(repeats))
        phone = stage.dial()
        stage.run(4.0)
        assert len(stage.bridged.calls) == repeats + 1
        assert phone.got == [180, 183, 200]
        assert stage.far.digits == f"{NUMBER}#"
        phone.bye()
        stage.assert_nothing_left()

    def test_challenge_that_is_repeated_again_and_again(self) -> None:
        stage = Stage()
        with_profile(stage, challenges=Forgetful(100))
        phone = stage.dial()
        stage.run(4.0)
        assert phone.got == [180, 503]
        assert stage.near.call_numbers_taken == 3
        stage.assert_nothing_left()

    @pytest.mark.parametrize("lost", [1, 2])
    def test_lost_challenge_is_answered_by_another_call(self, lost: int) -> None:
        stage = losing_challenges(lost)
        phone = stage.dial()
        stage.run(3.5 * lost + 3.0)
        assert len(stage.bridged.calls) == lost + 1
        assert phone.got == [180, 183, 200]
        assert stage.far.digits == f"{NUMBER}#"
        phone.bye()
        stage.assert_nothing_left()

    def test_challenges_that_are_lost_again_and_again(self) -> None:
        stage = losing_challenges(100)
        phone = stage.dial()
        stage.run(10.0)
        assert phone.got == [180, 503]
        assert stage.near.call_numbers_taken == 3

    def test_no_other_call_can_be_placed_after_a_repeated_challenge(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stage = Stage()
        with_profile(stage, challenges=Forgetful(1))
        phone = stage.dial()
        monkeypatch.setattr("bridge.iax2.endpoint.CALLS_MAX", 1)
        stage.run(4.0)
        assert phone.got == [180, 503]
        stage.assert_nothing_left()

    def test_phone_that_gives_up_after_a_repeated_challenge(self) -> None:
        stage = Stage()
        with_profile(stage, challenges=Forgetful(1))
        phone = stage.dial()
        stage.run(0.09)
        assert len(stage.bridged.calls) == 2
        phone.cancel()
        stage.assert_nothing_left()


def hold_back(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Keep what arrives at the bridge from it, for the test to hand over in one go."""
    held: list[bytes] = []

    def receive_datagram(data: bytes, _address: Address, _now: float) -> None:
        held.append(data)

    monkeypatch.setattr(stage.near, "receive_datagram", receive_datagram)
    return held
