"""Two bridges, both halves in virtual time: the phone sees what the far phone does."""

from collections.abc import Callable
from typing import Any

import pytest

from bridge.bridging.greeting import GREETING
from bridge.bridging.inbound_call import REFUSAL_TONE_S
from bridge.bridging.link import Acceptance
from bridge.bridging.phases import Phase
from bridge.iax2 import Cause, ControlReceived, ControlSubclass, User
from tests.lab.bridged_calls import NEAR, SECRET, Stage
from tests.lab.bridged_phone import CalledPhone, Phone
from tests.lab.inbound_calls import LIMITS, RING_S, InboundStage

NUMBER = "201"
DIALED_S = 2.3
SLOT_S = 0.5


class TwoBridges:
    """Phone A, its bridge, the other bridge, and its phones."""

    def __init__(self, **near: Any) -> None:  # noqa: ANN401
        self.near = Stage(**(near or {"answer_with_far_end": True}))
        acceptance = Acceptance("site", LIMITS, RING_S)
        self.far = InboundStage(
            self.near.simulation,
            link={"acceptance": acceptance},
            user=User("site", (SECRET,)),
        )
        self.near.simulation.add(NEAR, self.near.near, self.near._handle_event)
        self.octets: list[tuple[float, int]] = []
        """When our side and theirs sent frames that are no voice, and of which size."""
        self.near.simulation.watch = self._watch

    def dial(self, number: str = NUMBER) -> Phone:
        phone = self.near.dial(f"9{number}")
        self.run(DIALED_S)
        return phone

    def ringing(self) -> tuple[Phone, CalledPhone]:
        phone = self.dial()
        self.far.phone.rings()
        self.run(1.2)
        return phone, self.far.phone

    def talking(self) -> tuple[Phone, CalledPhone]:
        phone, far_phone = self.ringing()
        far_phone.answers()
        self.run(0.6)
        return phone, far_phone

    def run(self, seconds: float) -> None:
        self.near.run(seconds)

    def _watch(self, _source: object, data: bytes) -> None:
        if data[0] & 0x80:
            self.octets.append((self.near.now, len(data)))


@pytest.fixture
def bridges() -> TwoBridges:
    return TwoBridges()


def phase_of(bridges: TwoBridges) -> Phase:
    return bridges.near.bridged.phase


def reason(phone: Phone | CalledPhone) -> str | None:
    return dict(phone.headers).get("Reason")


class TestAnswer:
    def test_the_phone_sees_180_when_the_far_phone_rings_and_200_when_it_answers(
        self, bridges: TwoBridges
    ) -> None:
        phone = bridges.dial()
        assert phone.got == []
        assert phase_of(bridges) is Phase.AWAITING
        bridges.far.phone.rings()
        bridges.run(1.2)
        assert phone.got == [180]
        bridges.run(5)
        assert phone.got == [180]
        bridges.far.phone.answers()
        bridges.run(0.6)
        assert phone.got == [180, 200]
        assert "RTP/AVP 0 101" in phone.sdp[-1]
        assert phase_of(bridges) is Phase.TALKING

    def test_the_phone_hears_nothing_of_the_link_before_it_is_answered(
        self, bridges: TwoBridges
    ) -> None:
        bridges.ringing()
        assert not any(remote.receives for remote in bridges.near.media[0].remotes)
        bridges.far.phone.answers()
        bridges.run(0.6)
        assert bridges.near.media[0].remotes[-1].receives

    def test_early_media_of_the_far_phone_is_heard(self, bridges: TwoBridges) -> None:
        phone = bridges.dial()
        bridges.far.phone.sends_early_media()
        bridges.run(1.2)
        assert phone.got == [183]
        assert bridges.near.media[0].remotes[-1].receives
        bridges.far.phone.answers()
        bridges.run(0.6)
        assert phone.got == [183, 200]

    def test_a_phone_that_sent_no_audio_while_it_waited_is_not_dead(
        self, bridges: TwoBridges
    ) -> None:
        bridges.ringing()
        bridges.run(25)
        bridges.far.phone.answers()
        bridges.run(50)
        assert bridges.near.bridged.phase is Phase.TALKING

    @pytest.mark.parametrize("answers", [{"answer_immediately": True}, {"tail": False}])
    def test_another_kind_of_answer_hears_tones_instead(self, answers: dict[str, bool]) -> None:
        bridges = TwoBridges(**answers)
        phone = bridges.dial()
        assert phone.got == [180, 183, 200]
        bridges.far.phone.rings()
        bridges.run(1.2)
        assert bridges.near.media[0].tones
        assert not bridges.far.inbound._caller_is_bridge


class TestEnds:
    def test_a_tail_comes_before_our_hangup_where_the_far_end_tells_busy(self) -> None:
        bridges = TwoBridges(answer_with_far_end=True, tail=True)
        phone, _ = bridges.ringing()
        bridges.near.drawn = 3.5
        bridged = bridges.near.bridged
        busy = ControlReceived(bridged.calls[-1], ControlSubclass.BUSY)
        bridged.handle_event(busy, bridges.near.now)
        assert phone.got[-1] == 486
        assert phase_of(bridges) is Phase.LEAVING
        bridges.run(1.0)
        assert phase_of(bridges) is Phase.LEAVING
        bridges.run(1.0)
        assert bridges.near.switchboard.live_calls == 0

    @pytest.mark.parametrize(
        ("status", "seen"), [(486, 486), (600, 486), (404, 404), (403, 403), (503, 503)]
    )
    def test_the_far_phone_refuses(self, bridges: TwoBridges, status: int, seen: int) -> None:
        phone, far_phone = bridges.ringing()
        far_phone.refuses(status)
        bridges.run(3 * SLOT_S + 0.1)
        assert phone.got == [180, seen]
        self.assert_over(bridges)

    @pytest.mark.parametrize(
        ("number", "seen"), [("999", 404), ("1" * 17, 484)], ids=["wrong", "too long"]
    )
    def test_a_wrong_number(self, bridges: TwoBridges, number: str, seen: int) -> None:
        phone = bridges.dial(number)
        bridges.run(3 * SLOT_S + 0.1)
        assert phone.got == [seen]
        assert not bridges.far.phones
        self.assert_over(bridges)

    def test_nobody_answers(self, bridges: TwoBridges) -> None:
        phone, far_phone = bridges.ringing()
        bridges.run(RING_S + 2 * SLOT_S)
        assert far_phone.got == ["INVITE", "CANCEL"]
        assert phone.got == [180, 480]
        self.assert_over(bridges)

    def test_the_caller_gives_up_while_it_rings(self, bridges: TwoBridges) -> None:
        phone, far_phone = bridges.ringing()
        phone.cancel()
        bridges.run(0.1)
        assert far_phone.got == ["INVITE", "CANCEL"]
        self.assert_over(bridges)

    def test_the_caller_gives_up_while_it_dials(self, bridges: TwoBridges) -> None:
        phone = bridges.near.dial(f"9{NUMBER}")
        bridges.run(1.0)
        phone.cancel()
        bridges.run(3.0)
        assert not bridges.far.phones
        self.assert_over(bridges)

    def test_the_far_phone_hangs_up(self, bridges: TwoBridges) -> None:
        phone, far_phone = bridges.talking()
        far_phone.bye(Cause.NORMAL_UNSPECIFIED)
        bridges.run(0.1)
        assert phone.got[-1] == "BYE"
        assert reason(phone) == "Q.850;cause=31"
        self.assert_over(bridges)

    def test_the_phone_hangs_up(self, bridges: TwoBridges) -> None:
        phone, far_phone = bridges.talking()
        phone.bye(Cause.NORMAL_UNSPECIFIED)
        bridges.run(0.1)
        assert far_phone.got[-1] == "BYE"
        assert reason(far_phone) == "Q.850;cause=31"
        self.assert_over(bridges)

    def assert_over(self, bridges: TwoBridges) -> None:
        assert bridges.near.switchboard.live_calls == 0
        assert bridges.far.switchboard.live_calls == 0
        bridges.near.assert_nothing_left_near()
        bridges.far.assert_nothing_left()


class TestGreeting:
    def test_a_peer_that_does_not_greet_counts_as_asterisk(self) -> None:
        stage = Stage(answer_with_far_end=True)
        phone = stage.dial()
        stage.run(1.0)
        assert phone.got == []
        stage.run(2.0)
        assert phone.got == [200]
        assert stage.media[0].remotes[-1].receives
        stage.far.control(ControlSubclass.RINGING)
        stage.run(0.1)
        assert stage.media[0].tones

    @pytest.mark.parametrize("text", [b"", b"siax", b"SIAX/1", b"siax/1 and more", b"hello"])
    def test_another_text_is_no_greeting(self, text: bytes) -> None:
        stage = Stage(answer_with_far_end=True)
        phone = stage.dial()
        stage.run(0.5)
        stage.far.calls[-1].send_text(text, stage.now)
        stage.run(2.5)
        assert phone.got == [200]

    def test_a_greeting_that_comes_too_late_changes_nothing(self) -> None:
        stage = Stage(answer_with_far_end=True)
        phone = stage.dial()
        stage.run(3.0)
        stage.far.calls[-1].send_text(GREETING, stage.now)
        stage.run(1.0)
        assert phone.got == [200]
        assert stage.bridged.phase is Phase.TALKING

    def test_the_caller_that_hears_tones_is_not_hurried(self) -> None:
        bridges = TwoBridges(tail=False)
        bridges.dial("999")
        bridges.run(REFUSAL_TONE_S - 1)
        assert bridges.far.switchboard.live_calls == 1
        bridges.run(2.5)
        assert bridges.far.switchboard.live_calls == 0

    def test_every_signal_of_both_sides_looks_alike(self, bridges: TwoBridges) -> None:
        bridges.talking()
        answered_at = bridges.octets[0][0] + 0.2
        later = {octets for at, octets in bridges.octets if at > answered_at}
        assert later <= {36, 196}


def test_what_is_sent_is_the_same_whatever_the_far_phone_does() -> None:
    """Before a hang-up, a listener sees the same datagrams at the same times."""

    def seen(happens: Callable[[TwoBridges], object]) -> list[tuple[float, int]]:
        bridges = TwoBridges()
        bridges.dial()
        happens(bridges)
        bridges.run(4.0)
        return [(round(at, 6), octets) for at, octets in bridges.octets]

    silent = seen(lambda _bridges: None)
    assert len(silent) > 100
    assert seen(lambda bridges: bridges.far.phone.rings()) == silent
    assert seen(lambda bridges: bridges.far.phone.answers()) == silent
    assert seen(lambda bridges: bridges.far.phone.sends_early_media()) == silent
