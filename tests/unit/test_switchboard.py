"""The switchboard: who is taken, who is refused and how, and that one call's error is its alone."""

from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
import structlog.testing

from bridge.iax2 import Call, CallAnswered, Cause, ControlSubclass, EndReason
from tests.lab.bridged_calls import DELAY_S, FAR, NUMBER, Stage, with_profile
from tests.lab.bridged_phone import FOREIGN_OFFER, FakeMedia, Phone

OTHER_NUMBER = "777"


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[MutableMapping[str, Any]]]:
    with structlog.testing.capture_logs() as captured:
        yield captured


@pytest.fixture
def stage() -> Stage:
    return Stage()


def refused(stage: Stage, phone: Phone) -> tuple[int | str, str | None]:
    """Return the status that a phone got at once, and its Retry-After; no call was made."""
    assert not stage.switchboard.live_calls
    assert not stage.near.live_calls
    assert all(media.closed for media in stage.media)
    (status,) = phone.got
    return status, dict(phone.headers).get("Retry-After")


class TestRefusal:
    @pytest.mark.parametrize("called", ["123", "", "9", "alice", "7" * 64])
    def test_no_route(self, stage: Stage, called: str) -> None:
        assert refused(stage, stage.dial(called)) == (404, None)
        assert stage.switchboard.counters.no_route == 1

    @pytest.mark.parametrize("called", ["8alice", "8%23", "8123#4", "8" + "1" * 26, "9" + "1" * 70])
    def test_number_that_cannot_be_dialed(self, stage: Stage, called: str) -> None:
        assert refused(stage, stage.dial(called)) == (484, None)
        assert stage.switchboard.counters.undialable == 1

    def test_longest_number_that_fits(self, stage: Stage) -> None:
        stage.dial("8" + "1" * 25)
        stage.run(3.0)
        assert stage.far.digits == "1" * 25 + "#"

    def test_no_codec(self, stage: Stage) -> None:
        assert refused(stage, stage.dial(offer=FOREIGN_OFFER)) == (488, None)
        assert stage.switchboard.counters.no_codec == 1
        assert not stage.media

    def test_link_without_an_address_yet(self) -> None:
        stage = Stage(address=None)
        assert refused(stage, stage.dial()) == (503, "30")
        assert not stage.media
        stage.link.move_to(FAR)
        assert stage.dial().got == [180]

    def test_no_ports(self, stage: Stage) -> None:
        stage.ports_left = 0
        assert refused(stage, stage.dial()) == (503, "30")
        assert stage.switchboard.counters.unavailable == 1

    def test_too_many_calls(self, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("bridge.iax2.endpoint.CALLS_MAX", 0)
        assert refused(stage, stage.dial()) == (503, "30")
        assert stage.switchboard.counters.unavailable == 1

    def test_after_the_bridge_began_to_stop(self, stage: Stage) -> None:
        stage.switchboard.shut_down()
        assert refused(stage, stage.dial())[0] == 503

    def test_nothing_is_taken_of_what_is_refused(self, stage: Stage) -> None:
        stage.dial("123")
        stage.dial(offer=FOREIGN_OFFER)
        assert stage.switchboard.counters.taken == 0
        stage.dial()
        assert stage.switchboard.counters.taken == 1


class TestManyCalls:
    def test_each_number_arrives_in_its_own_call(self, stage: Stage) -> None:
        numbers = [f"{n}" * (n + 1) for n in range(1, 8)]
        for number in numbers:
            stage.dial(f"9{number}")
            stage.run(2.5)
        assert stage.far.digits == "".join(f"{number}#" for number in numbers)
        assert stage.switchboard.live_calls == len(numbers)
        stage.switchboard.shut_down()
        stage.assert_nothing_left()

    def test_deadlines_of_calls_that_began_together_are_all_kept(self, stage: Stage) -> None:
        phones = [stage.dial() for _ in range(20)]
        stage.run(4.0)
        assert all(phone.got == [180, 183, 200] for phone in phones)
        assert len(stage.far.digits) == 20 * len(f"{NUMBER}#")

    def test_event_of_a_call_that_is_over_is_not_heard(self, stage: Stage) -> None:
        phone = stage.dial()
        (call,) = stage.bridged.calls
        phone.cancel()
        stage.switchboard.handle_event(CallAnswered(call), stage.now)
        assert phone.got == [180]
        stage.assert_nothing_left()

    def test_without_calls_there_is_no_deadline(self, stage: Stage) -> None:
        assert stage.switchboard.next_deadline() is None
        stage.switchboard.handle_deadlines(stage.now)


class TestErrors:
    """Whatever breaks in a call ends that call, both its legs, and no other one."""

    @pytest.mark.parametrize("at", [183, 200])
    def test_sip_stack_breaks(self, stage: Stage, at: int) -> None:
        other = stage.dial(f"9{OTHER_NUMBER}")
        stage.run(0.1)
        phone = stage.dial()
        phone.breaks_at = at
        stage.run(4.0)
        assert phone.got[-1] == 500
        assert other.got == [180, 183, 200]
        assert stage.switchboard.live_calls == 1
        assert stage.media[1].closed
        assert stage.far.ended == [(EndReason.HANGUP, Cause.NORMAL_TEMPORARY_FAILURE)]

    def test_sip_stack_breaks_at_the_first_response(self, stage: Stage) -> None:
        phone = stage.dial(breaks_at=180)
        assert phone.got == [500]
        stage.assert_nothing_left()

    @pytest.mark.parametrize("seconds", [0.05, 0.7, 3.0])
    def test_sip_stack_breaks_at_the_end(self, stage: Stage, seconds: float) -> None:
        phone = stage.dial()
        stage.run(seconds)
        phone.breaks_at = "BYE" if seconds == 3.0 else 503
        stage.switchboard.shut_down()
        stage.assert_nothing_left()

    @pytest.mark.parametrize("broken", ["connect", "set_remote", "play", "send_digit", "close"])
    def test_media_breaks(self, stage: Stage, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
        other = stage.dial(f"9{OTHER_NUMBER}")
        stage.run(3.0)
        phone = stage.dial()
        breaks(monkeypatch, stage.media[1], broken)
        stage.run(3.0)
        if broken in ("play", "send_digit"):
            stage.far.control(ControlSubclass.BUSY)
            stage.far.calls[-1].send_digit("1", stage.now)
        elif broken == "close":
            with pytest.raises(RuntimeError, match="media broke"):
                phone.bye()
        stage.run(1.0)
        assert phone.leg.is_over
        assert stage.switchboard.live_calls == 1
        assert len(stage.far.ended) == 1
        other.bye()
        stage.run(DELAY_S * 4)
        assert len(stage.far.ended) == 2

    @pytest.mark.parametrize("seconds", [0.0, 0.05, 0.7, 3.0])
    def test_media_fails_in_every_phase(self, stage: Stage, seconds: float) -> None:
        phone = stage.dial()
        stage.run(seconds)
        stage.media[0].close()
        stage.switchboard.fail(stage.bridged.media)
        assert phone.got[-1] == ("BYE" if seconds == 3.0 else 500)
        stage.assert_nothing_left()

    def test_what_breaks_while_leaving_ends_the_call_at_once(
        self, stage: Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stage.dialing()
        (call,) = stage.bridged.calls
        breaks(monkeypatch, call, "send_cng")
        stage.switchboard.shut_down()
        assert stage.switchboard.live_calls == 1
        stage.run(0.1)
        assert not stage.switchboard.live_calls
        stage.assert_nothing_left()

    def test_media_of_no_call_fails(self, stage: Stage) -> None:
        phone = stage.talking()
        media = stage.bridged.media
        phone.bye()
        stage.switchboard.fail(media)
        stage.assert_nothing_left()

    def test_failed_media_whose_phone_cannot_be_told(self, stage: Stage) -> None:
        phone = stage.talking()
        phone.breaks_at = "BYE"
        stage.switchboard.fail(stage.bridged.media)
        stage.assert_nothing_left()


@pytest.mark.parametrize("waited_s", [0.5, 3.0])
def test_shut_down_ends_calls_in_all_phases(stage: Stage, waited_s: float) -> None:
    talking = stage.talking()
    dialing = stage.dial()
    stage.run(0.7)
    calling = stage.dial()
    stage.run(0.01)
    stage.switchboard.shut_down()
    assert (talking.got[-1], dialing.got[-1], calling.got[-1]) == ("BYE", 503, 503)
    assert stage.switchboard.live_calls == 1
    stage.run(waited_s)
    stage.switchboard.cut_short()
    assert not stage.switchboard.live_calls
    stage.run(0.1)
    assert not stage.near.live_calls
    stage.assert_nothing_left()


def test_logs_tell_the_story_without_number_caller_or_secret(
    stage: Stage, logs: list[MutableMapping[str, Any]]
) -> None:
    phone = stage.talking()
    stage.media[0].on_digit("7")
    phone.bye()
    stage.dial("8alice")
    stage.dial("8" + "4930111222" * 3)
    with_profile(stage, secret=b"another one")
    stage.dial()
    stage.run(8.0)
    stage.dial(breaks_at=180)
    told = "\n".join(map(str, logs))
    for event in ("call placed", "number delivered", "phone's leg ended", "call refused"):
        assert event in told
    for secret in (NUMBER, "4930", "alice", "999888", "secret of", "another one"):
        assert secret not in told


def test_log_tells_how_the_audio_was(stage: Stage, logs: list[MutableMapping[str, Any]]) -> None:
    phone = stage.talking()
    stage.media[0].buffer.late = 3
    stage.media[0].on_digit("x")
    phone.bye()
    (over,) = [entry for entry in logs if entry["event"] == "call over"]
    assert (over["voice_sent"], over["voice_received"], over["voice_dropped"]) == (1, 0, 0)
    assert over["digits_dropped"] == 1
    assert (over["buffer_late"], over["buffer_overruns"], over["buffer_slips"]) == (3, 0, 0)


def breaks(monkeypatch: pytest.MonkeyPatch, what: FakeMedia | Call, method: str) -> None:
    """Let a method of a call or its media raise."""

    def broken(*_arguments: object, **_named: object) -> None:
        raise RuntimeError("media broke")

    monkeypatch.setattr(what, method, broken)
