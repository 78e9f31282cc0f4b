"""A route with several links: which one a call takes, and what the phone hears of it."""

from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
import structlog.testing

from bridge.bridging.attempts import is_temporary
from bridge.dialing.plan import DialPlan, DigitLimits
from bridge.iax2 import Cause, ControlSubclass, EndReason, Qualification, Reachability
from tests.lab.bridged_calls import FAR, NUMBER, Stage, route, with_profile
from tests.lab.bridged_phone import FOREIGN_OFFER

LIMITS = DigitLimits(25, "#")
LIMITS_OF_SHORT = DigitLimits(len(NUMBER) - 1, "#")


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[MutableMapping[str, Any]]]:
    with structlog.testing.capture_logs() as captured:
        yield captured


@pytest.fixture
def stage() -> Stage:
    return two_links()


def two_links(*, allow_less_hidden: bool = False, limits: DigitLimits = LIMITS) -> Stage:
    """A stage whose route has a second link, to the same far end."""
    stage = Stage()
    backup = stage.add_link("backup")
    assert backup.address == FAR
    both = route(r"9(\d+)", "backup", allow_less_hidden=allow_less_hidden)
    stage.switchboard._plan = DialPlan((both,), {"hq": LIMITS, "backup": limits})
    return stage


def link_of(stage: Stage) -> str:
    return stage.bridged.link.name


class Unreachable:
    """A qualifier whose peer is silent."""

    seen = Qualification(Reachability.UNREACHABLE)


class TestTheFirst:
    def test_it_is_taken_where_nothing_speaks_against_it(self, stage: Stage) -> None:
        assert stage.dial().got == [180]
        assert link_of(stage) == "hq"

    def test_not_while_it_is_unreachable(self, stage: Stage) -> None:
        stage.link.qualifier = Unreachable()  # type: ignore[assignment]
        phone = stage.dial()
        assert link_of(stage) == "backup"
        stage.run(3.0)
        assert phone.got == [180, 183, 200]
        assert stage.far.digits == f"{NUMBER}#"

    def test_the_order_stands_while_all_are_unreachable(self, stage: Stage) -> None:
        stage.link.qualifier = Unreachable()  # type: ignore[assignment]
        stage.links["backup"].qualifier = Unreachable()  # type: ignore[assignment]
        stage.dial()
        assert link_of(stage) == "hq"

    def test_not_while_it_is_full(self, stage: Stage) -> None:
        stage.link.calls_max = 1
        stage.dial()
        stage.dial()
        assert [live.link.name for live in stage.switchboard._live] == ["hq", "backup"]

    def test_not_while_it_has_no_address(self, stage: Stage) -> None:
        stage.link.move_to(None)
        assert stage.dial().got == [180]
        assert link_of(stage) == "backup"

    def test_none_is_open(self, stage: Stage) -> None:
        stage.link.calls_max = stage.links["backup"].calls_max = 0
        assert stage.dial().got == [503]
        assert stage.switchboard.counters.limited == 1

    def test_no_codec_of_any(self, stage: Stage) -> None:
        assert stage.dial(offer=FOREIGN_OFFER).got == [488]

    def test_a_number_that_the_other_cannot_carry(self) -> None:
        stage = two_links(limits=LIMITS_OF_SHORT)
        stage.far.behave = stage.far.reject(Cause.SWITCH_CONGESTION)
        phone = stage.dial()
        stage.run(1.0)
        assert phone.got == [180, 503]
        assert len(stage.far.calls) == 1


class TestFailure:
    @pytest.mark.parametrize("cause", [Cause.SWITCH_CONGESTION, Cause.NORMAL_TEMPORARY_FAILURE])
    def test_a_temporary_cause_leads_to_the_next(
        self, stage: Stage, logs: list[MutableMapping[str, Any]], cause: Cause
    ) -> None:
        stage.far.behave = stage.far.reject(cause)
        phone = stage.dial()
        while not stage.far.calls:
            stage.run(0.01)
        stage.far.behave = stage.far.answer
        stage.run(3.0)
        assert phone.got == [180, 183, 200]
        assert link_of(stage) == "backup"
        assert stage.far.digits == f"{NUMBER}#"
        assert len(stage.far.calls) == 2
        told = [entry for entry in logs if entry["event"].startswith("the link fails")]
        assert [(entry["link"], entry["next"], entry["cause"]) for entry in told] == [
            ("hq", "backup", cause)
        ]
        assert NUMBER not in str(logs)
        phone.cancel()
        stage.switchboard.shut_down()
        stage.assert_nothing_left()

    def test_congestion_in_place_of_an_answer(self, stage: Stage) -> None:
        stage.far.behave = stage.far.accept
        phone = stage.dial()
        stage.run(0.3)
        stage.far.behave = stage.far.answer
        stage.far.control(ControlSubclass.CONGESTION)
        stage.run(3.0)
        assert phone.got == [180, 183, 200]
        assert link_of(stage) == "backup"
        assert stage.far.ended == [(EndReason.HANGUP, Cause.NORMAL_CLEARING)]

    def test_a_peer_that_is_silent(self, stage: Stage) -> None:
        with_profile(stage, setup_timeout_s=2)
        stage.link.move_to(("192.0.2.77", 4569))
        phone = stage.dial()
        stage.run(6.0)
        assert phone.got == [180, 183, 200]
        assert link_of(stage) == "backup"

    @pytest.mark.parametrize(
        ("cause", "status"), [(Cause.USER_BUSY, 486), (Cause.CALL_REJECTED, 403)]
    )
    def test_what_is_no_failure_of_the_link(self, stage: Stage, cause: Cause, status: int) -> None:
        stage.far.behave = stage.far.reject(cause)
        phone = stage.dial()
        stage.run(1.0)
        assert phone.got == [180, status]
        assert len(stage.far.calls) == 1
        stage.assert_nothing_left()

    def test_both_fail(self, stage: Stage) -> None:
        stage.far.behave = stage.far.reject(Cause.SWITCH_CONGESTION)
        phone = stage.dial()
        stage.run(1.0)
        assert phone.got == [180, 503]
        assert len(stage.far.calls) == 2
        assert not stage.far.digits
        stage.assert_nothing_left()

    def test_after_the_answer_there_is_no_other_link(self, stage: Stage) -> None:
        phone = stage.dialing()
        stage.far.hang_up(Cause.SWITCH_CONGESTION)
        stage.run(1.0)
        assert phone.got == [180, 183, 503]
        assert len(stage.far.calls) == 1
        stage.assert_nothing_left()

    def test_a_link_that_waits_for_the_far_end_is_followed_by_one_that_does_not(
        self, stage: Stage
    ) -> None:
        stage.link.answer_with_far_end = True
        stage.far.behave = stage.far.reject(Cause.SWITCH_CONGESTION)
        phone = stage.dial()
        assert phone.got == []
        while not stage.far.calls:
            stage.run(0.01)
        stage.far.behave = stage.far.answer
        stage.run(3.0)
        assert phone.got == [180, 183, 200]

    def test_cancelled_after_the_change(self, stage: Stage) -> None:
        stage.far.behave = stage.far.reject(Cause.SWITCH_CONGESTION)
        phone = stage.dial()
        while not stage.far.calls:
            stage.run(0.01)
        stage.far.behave = stage.far.accept
        stage.run(0.5)
        phone.cancel()
        stage.run(0.5)
        assert stage.far.ended[-1] == (EndReason.HANGUP, Cause.NORMAL_CLEARING)
        assert not stage.far.digits
        stage.assert_nothing_left()


class TestKeysOfThePeer:
    def test_a_peer_that_was_seen_to_rotate_is_passed_over(self) -> None:
        stage = two_links()
        stage.links["backup"].peer_rotates = True
        stage.far.behave = stage.far.reject(Cause.SWITCH_CONGESTION)
        phone = stage.dial()
        stage.run(1.0)
        assert phone.got == [180, 503]
        assert len(stage.far.calls) == 1

    def test_unless_the_entry_says_so(self) -> None:
        stage = two_links(allow_less_hidden=True)
        stage.links["backup"].peer_rotates = True
        stage.link.move_to(None)
        assert stage.dial().got == [180]

    def test_it_is_seen_at_the_end_of_a_call(self) -> None:
        stage = Stage(rekeys_s=10)
        phone = stage.talking()
        stage.media[0].last_rtp_at = stage.now
        stage.run(15.0)
        assert not stage.link.peer_rotates
        phone.bye()
        assert stage.link.peer_rotates

    def test_one_that_does_not_rotate(self) -> None:
        stage = Stage()
        stage.talking().bye()
        assert not stage.link.peer_rotates


@pytest.mark.parametrize(
    ("reason", "cause", "temporary"),
    [
        (EndReason.NO_RESPONSE, None, True),
        (EndReason.REJECTED, None, False),
        (EndReason.REJECTED, Cause.NETWORK_OUT_OF_ORDER, True),
        (EndReason.HANGUP, Cause.NORMAL_CIRCUIT_CONGESTION, True),
        (EndReason.HANGUP, Cause.UNASSIGNED_NUMBER, False),
        (EndReason.SECRETS_DIFFER, Cause.NORMAL_TEMPORARY_FAILURE, False),
        (EndReason.DOWNGRADE, None, False),
    ],
)
def test_what_is_temporary(reason: EndReason, cause: int | None, *, temporary: bool) -> None:
    assert is_temporary(reason, cause) is temporary
