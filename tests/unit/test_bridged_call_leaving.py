"""How a call leaves its link: behind the whole burst and the tail, whoever ends it."""

import pytest

from bridge.app import ACKNOWLEDGED_WITHIN_S, LEAVE_WITHIN_S
from bridge.bridging.phases import Phase
from bridge.iax2 import Cause, EndReason
from bridge.media.pacing import FRAME_MS
from tests.lab.bridged_calls import DELAY_S, ENVELOPE, Stage, signals
from tests.lab.bridged_phone import q850

SLOTS = 26
SLOT_S = 0.060
IN_CALL_SLOT_S = 0.5


@pytest.fixture
def stage() -> Stage:
    return Stage()


class TestTail:
    """Silence before HANGUP: up to four slots of 500 ms, the last of which HANGUP takes."""

    @pytest.mark.parametrize("tail_slots", [0, 1, 3])
    @pytest.mark.parametrize("ends", ["BYE", "shut down", "failed"])
    def test_in_the_call(self, tail_slots: int, ends: str) -> None:
        stage = Stage(tail=True)
        phone = stage.talking()
        stage.drawn = tail_slots + 0.5
        ended_at, bridged = stage.now, stage.bridged
        next_slot_at = bridged.next_deadline()
        assert next_slot_at is not None
        stage.media[0].on_digit("5")
        end = {"BYE": phone.bye, "shut down": bridged.shut_down, "failed": bridged.fail}
        end[ends]()
        assert phone.leg.is_over
        assert bridged.phase is Phase.LEAVING
        assert not stage.media[0].closed
        stage.run(3.0)
        hung_up_at = stage.story.at("link ended") - DELAY_S
        assert hung_up_at == pytest.approx(next_slot_at + tail_slots * IN_CALL_SLOT_S)
        assert hung_up_at - ended_at <= 2.0
        assert signals(stage)[SLOTS:] == "." * len(signals(stage)[SLOTS:])
        cause = Cause.NORMAL_CLEARING if ends == "BYE" else Cause.NORMAL_TEMPORARY_FAILURE
        assert stage.far.ended == [(EndReason.HANGUP, cause)]
        stage.assert_nothing_left()

    def test_phone_that_gives_up_while_dialing(self) -> None:
        stage = Stage(tail=True)
        phone = stage.dialing()
        stage.drawn = 2.5
        phone.cancel()
        stage.run(5.0)
        assert stage.story.at("link ended") - stage.far.signals[SLOTS - 1][0] == pytest.approx(
            3 * IN_CALL_SLOT_S
        )
        assert "#" not in signals(stage)
        stage.assert_nothing_left()

    def test_phone_that_is_dead(self) -> None:
        stage = Stage(tail=True)
        stage.talking()
        stage.drawn = 3.5
        stage.run(64.0)
        assert stage.far.ended == [(EndReason.HANGUP, Cause.RECOVERY_ON_TIMER_EXPIRY)]
        stage.assert_nothing_left()

    def test_far_end_that_hangs_up_within_it(self) -> None:
        stage = Stage(tail=True)
        phone = stage.talking()
        stage.drawn = 3.5
        phone.bye()
        stage.far.hang_up()
        stage.run(0.1)
        assert stage.switchboard.live_calls == 0
        stage.assert_nothing_left()

    def test_there_is_none_before_the_answer(self) -> None:
        stage = Stage(tail=True)
        stage.far.behave = stage.far.accept
        phone = stage.dial()
        stage.run(0.5)
        phone.cancel()
        assert stage.switchboard.live_calls == 0
        stage.assert_nothing_left()

    def test_it_is_cut_short_at_the_stop(self) -> None:
        stage = Stage(tail=True)
        phone = stage.talking()
        stage.drawn = 3.5
        phone.bye()
        stage.switchboard.shut_down()
        assert stage.bridged.phase is Phase.LEAVING
        stage.switchboard.cut_short()
        assert stage.switchboard.live_calls == 0
        stage.run(0.1)
        assert stage.far.ended == [(EndReason.HANGUP, Cause.NORMAL_CLEARING)]
        stage.assert_nothing_left()


class TestOurOwnEnd:
    @pytest.mark.parametrize(
        ("seconds", "last"), [(0.01, 503), (0.05, 503), (0.3, 503), (1.0, 503), (3.0, "BYE")]
    )
    @pytest.mark.parametrize("failed", [False, True])
    def test_in_every_phase(
        self, stage: Stage, seconds: float, last: int | str, *, failed: bool
    ) -> None:
        phone = stage.dial()
        stage.run(seconds)
        bridged, was_dialing = stage.bridged, stage.bridged.phase is Phase.DIALING
        if failed:
            bridged.fail()
        else:
            bridged.shut_down()
        assert phone.got[-1] == (500 if failed and last == 503 else last)
        assert q850(phone) == "Q.850;cause=41"
        assert bridged.phase is (Phase.LEAVING if was_dialing else Phase.OVER)
        stage.run(2.7 if was_dialing else 0.5)
        assert bridged.phase is Phase.OVER
        assert bridged.next_deadline() is None
        # Before its challenge a call is given up, and the peer is told only that it is over.
        cause = Cause.NORMAL_TEMPORARY_FAILURE if seconds > 0.05 else Cause.NORMAL_CLEARING
        assert all(ended == (EndReason.HANGUP, cause) for ended in stage.far.ended)
        assert len(signals(stage)[:SLOTS]) == (0 if seconds < 0.3 else SLOTS)
        assert ("#" in signals(stage)) == (seconds == 3.0)
        stage.assert_nothing_left()

    def test_the_default_burst_is_complete_before_a_stop_cuts_it_short(self) -> None:
        low_s, high_s = (each / 1000 for each in ENVELOPE.start_ms)
        assert low_s < high_s + (SLOTS - 1) * SLOT_S + FRAME_MS / 1000 < LEAVE_WITHIN_S
        assert LEAVE_WITHIN_S + ACKNOWLEDGED_WITHIN_S <= 2.5

    def test_while_the_envelope_completes(self, stage: Stage) -> None:
        phone = stage.dialing()
        phone.cancel()
        stage.switchboard.shut_down()
        assert phone.got == [180, 183]
        stage.run(2.5)
        assert len(signals(stage)) == SLOTS
        stage.assert_nothing_left()

    def test_twice_does_nothing(self, stage: Stage) -> None:
        phone = stage.talking()
        bridged = stage.bridged
        bridged.shut_down()
        bridged.fail()
        bridged.cut_short()
        assert phone.got.count("BYE") == 1
        assert len(stage.near._calls) == 1
