"""The leg against a recording control: every state and input, and what may come too late."""

from dataclasses import dataclass, field, replace
from itertools import product

import pytest

from bridge.sip.admission import Headers
from bridge.sip.leg import TRANSITIONS, LegInput, LegState, SipLeg
from bridge.sip.refer import Refer, ReferAnswer
from bridge.sip.sdp import AudioDescription, LocalMedia, SdpError, parse_sdp_untrusted

OFFER = "v=0\r\nc=IN IP4 192.0.2.7\r\nm=audio 4000 RTP/AVP 8 0\r\n"
LOCAL = LocalMedia("192.0.2.1", 20000, ("PCMU",))


@dataclass
class Control:
    """Takes down what the leg sends."""

    sent: list[tuple[int | str, Headers]] = field(default_factory=list)
    sdp: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    works: bool = True

    def respond(self, status: int, reason: str, headers: Headers, sdp: str) -> bool:
        self.sent.append((status, headers))
        self.sdp.append(sdp)
        self.reasons.append(reason)
        return self.works

    def hang_up(self, headers: Headers) -> None:
        self.sent.append(("hang up", headers))

    def notify(self, headers: Headers, body: str) -> None:
        self.sent.append((body, headers))


@dataclass
class Handler:
    """Gives LOCAL and takes down what it is told."""

    told: list[object] = field(default_factory=list)

    def on_media(self, leg: SipLeg, remote: AudioDescription | None) -> LocalMedia:  # noqa: ARG002
        self.told.append(remote)
        return LOCAL

    def on_answered(self, leg: SipLeg) -> None:  # noqa: ARG002
        self.told.append("answered")

    def on_digit(self, leg: SipLeg, digit: str) -> None:  # noqa: ARG002
        self.told.append(digit)

    def on_refer(self, leg: SipLeg, refer: Refer) -> ReferAnswer:  # noqa: ARG002
        self.told.append(refer)
        return ReferAnswer(202)

    def on_ended(self, leg: SipLeg, status: int, reason: str, q850: int | None) -> None:  # noqa: ARG002
        self.told.append((status, q850))


def incoming(control: Control, offer: str = OFFER) -> SipLeg:
    leg = SipLeg(1, control, state=LegState.INVITED, caller="1234567", called="7654321")
    leg.offer = parse_sdp_untrusted(offer) if offer else None
    return leg


@pytest.mark.parametrize("pair", list(product(LegState, LegInput)), ids=str)
def test_every_state_and_input(pair: tuple[LegState, LegInput]) -> None:
    state, happened = pair
    over = state in (LegState.ENDING, LegState.ENDED)
    legal = {
        LegInput.ACCEPT: state is LegState.INVITED,
        LegInput.ACCEPTED: state in (LegState.CALLING, LegState.UP),
        LegInput.END: not over,
        LegInput.DISCONNECTED: state is not LegState.ENDED,
    }
    assert (pair in TRANSITIONS) is legal[happened]


@pytest.mark.parametrize("state", LegState)
def test_no_request_and_no_news_raises_in_any_state(state: LegState) -> None:
    control = Control()
    leg = SipLeg(1, control, state=state, local=LOCAL)
    leg.begin(Handler())
    for request in (leg.ringing, leg.progress, leg.answer):
        leg.state = state
        request()
    leg.state = state
    leg.end(486)
    leg.disconnected(200, "", None)
    assert leg.state is LegState.ENDED
    if state in (LegState.ENDING, LegState.ENDED):
        assert not control.sent


def test_caller_and_called_do_not_show() -> None:
    leg = incoming(Control())
    assert "1234567" not in repr(leg)
    assert "7654321" not in repr(leg)


def test_answer_within_on_incoming_waits_for_the_handler() -> None:
    control = Control()
    leg = incoming(control)
    leg.ringing()
    leg.progress()
    leg.answer()
    assert [status for status, _ in control.sent] == [180]
    leg.begin(Handler())
    assert [status for status, _ in control.sent] == [180, 183, 200]
    assert leg.state is LegState.UP


def test_no_common_codec_is_told_at_once() -> None:
    leg = incoming(Control(), OFFER.replace("8 0", "3"))
    with pytest.raises(SdpError):
        leg.begin(Handler())


def test_no_common_codec_after_a_change_of_mind() -> None:
    control = Control()
    leg = incoming(control)
    leg.begin(Handler())
    leg.answer(LocalMedia("192.0.2.1", 20000, ("G722",)))
    assert [status for status, _ in control.sent] == [488]
    assert leg.is_over


def test_media_once_sent_stays() -> None:
    control = Control()
    leg = incoming(control)
    leg.begin(Handler())
    leg.progress(LocalMedia("192.0.2.1", 20002, ("PCMA",)))
    leg.answer(LocalMedia("192.0.2.1", 20004, ("PCMU",)))
    first, second = control.sdp
    assert "m=audio 20002 RTP/AVP 8\r\n" in first
    assert not second


def test_refusal_carries_its_headers() -> None:
    control = Control()
    leg = incoming(control)
    leg.begin(Handler())
    leg.end(503, "Link down", retry_after_s=8, q850=38)
    leg.end(486)
    assert control.sent == [(503, (("Reason", "Q.850;cause=38"), ("Retry-After", "8")))]


def test_hang_up_carries_the_cause_alone() -> None:
    control = Control()
    leg = SipLeg(1, control, state=LegState.UP)
    leg.end(503, "Link down", retry_after_s=8, q850=16)
    assert control.sent == [("hang up", (("Reason", "Q.850;cause=16"),))]


def test_handler_is_told_once_of_the_end() -> None:
    handler = Handler()
    leg = incoming(Control())
    leg.begin(handler)
    leg.disconnected(487, "Request Terminated", None)
    leg.disconnected(200, "", 16)
    assert handler.told[1:] == [(487, None)]


def test_late_offer() -> None:
    handler = Handler()
    leg = incoming(Control(), "")
    leg.begin(handler)
    assert "m=audio 20000 RTP/AVP 0 101\r\n" in leg.session_description(is_answer=False)
    assert leg.awaits_answer
    leg.answered(OFFER)
    assert not leg.awaits_answer
    remote = parse_sdp_untrusted(OFFER)
    remote = replace(remote, payload_types=remote.payload_types[:1])
    assert leg.remote == remote
    assert handler.told == [None, remote]


def test_new_offer_in_a_call() -> None:
    handler = Handler()
    leg = incoming(Control())
    leg.begin(handler)
    leg.answer()
    assert leg.offered(OFFER + "a=sendonly\r\n")
    assert "a=recvonly" in leg.session_description(is_answer=True)
    assert not leg.offered("v=0\r\n")
    assert not leg.offered(OFFER.replace("8 0", "3"))
    assert leg.state is LegState.UP


def test_answer_that_the_stack_cannot_send() -> None:
    control = Control(works=False)
    leg = incoming(control)
    leg.begin(Handler())
    leg.answer()
    assert [status for status, _ in control.sent] == [200, 500]
    assert leg.is_over


def test_reason_stays_on_its_line() -> None:
    control = Control()
    incoming(control).end(503, "Down\r\nX-Header: \u00fc" + "x" * 100)
    (reason,) = control.reasons
    assert reason.startswith("DownX-Header: x")
    assert len(reason) <= 64
