"""One call leg as both roles share it: from ACCEPT on, and how it ends."""

from dataclasses import replace

import pytest

from bridge.iax2 import (
    Acknowledged,
    CallAnswered,
    CallEnded,
    Cause,
    ControlReceived,
    ControlSubclass,
    DigitReceived,
    EndReason,
    Format,
    IncomingCall,
    LocalProtocolError,
    TextReceived,
)
from bridge.iax2.constants import ElementType, FrameType, IaxSubclass
from bridge.iax2.elements import ElementValue
from bridge.iax2.reliability import OUTSTANDING_MAX
from bridge.iax2.states import State
from tests.lab.iax2_pair import Pair, call_profile
from tests.lab.iax2_peer import VOICE, Peer
from tests.lab.iax2_phases import answer, caller_in, place
from tests.lab.iax2_wire import FAR, NEAR, START


def digits(peer: Peer) -> str:
    return "".join(event.digit for event in peer.told(DigitReceived))


@pytest.mark.parametrize("setup_timeout_s", [3.0, 8.0, 30.0])
def test_a_silent_peer_is_given_up_at_setup_timeout(setup_timeout_s: float) -> None:
    """Asked for again until then, each second, so that loss alone does not end a call."""
    peer, call = place(call_profile(setup_timeout_s=setup_timeout_s))
    peer.elapse(setup_timeout_s - 0.01)
    assert not peer.told(CallEnded)
    assert len(peer.got(IaxSubclass.NEW)) == setup_timeout_s + 1
    peer.elapse(0.01)
    assert peer.told(CallEnded) == [CallEnded(call, EndReason.NO_RESPONSE)]
    assert call.state is State.GIVEN_UP


class TestOrder:
    def test_early_frames_are_acted_on_in_their_turn(self) -> None:
        peer, _ = caller_in(State.UP)
        frames = [peer.frame(FrameType.DTMF_END, ord(digit)) for digit in "123"]
        numbered = [
            replace(frame, oseqno=peer.oseqno + at, timestamp_ms=frame.timestamp_ms + at)
            for at, frame in enumerate(frames)
        ]
        for at in (2, 1, 0):
            peer.put(numbered[at])
        assert digits(peer) == "123"
        assert len(peer.got(IaxSubclass.VNAK)) == 1

    def test_a_malformed_frame_does_not_hold_up_those_behind_it(self) -> None:
        """Nor is a frame that was held then taken again 256 frames later."""
        peer, call = caller_in(State.UP)
        wrong = peer.frame(FrameType.VOICE, Format.ALAW, VOICE)
        early = replace(peer.frame(FrameType.DTMF_END, ord("7")), oseqno=peer.oseqno + 1)
        peer.put(early)
        peer.put(wrong)
        assert digits(peer) == "7"
        assert call.statistics.dropped_malformed == 1
        peer.oseqno += 2
        for _ in range(256):
            peer.send(FrameType.CNG, 0)
        assert digits(peer) == "7"

    def test_a_frame_that_was_lost_is_asked_for_once_in_two_round_trips(self) -> None:
        peer, call = caller_in(State.UP)
        peer.oseqno += 1
        for _ in range(20):
            peer.send(FrameType.CNG, 0)
            peer.elapse(0.1)
        # 2 x RTT is less than the least interval, 0.25 s.
        assert 7 <= len(peer.got(IaxSubclass.VNAK)) <= 8
        assert call.statistics.out_of_order == 20

    def test_what_came_before_is_acknowledged_again_and_not_acted_on(self) -> None:
        peer, _ = caller_in(State.UP)
        datagram = peer.send(FrameType.DTMF_END, ord("5"))
        acks = len(peer.got(IaxSubclass.ACK))
        for _ in range(3):
            peer.inject(datagram)
        assert digits(peer) == "5"
        assert len(peer.got(IaxSubclass.ACK)) == acks + 3

    def test_sequence_numbers_wrap_in_both_directions(self) -> None:
        pair = Pair()
        call, far_call = pair.answered()
        sent = "0123456789*#ABCD" * 40
        for digit in sent:
            call.send_digit(digit, pair.now)
            far_call.send_digit(digit, pair.now)
            pair.elapse(0.1)
        for side in (NEAR, FAR):
            assert "".join(event.digit for event in pair.told(side, DigitReceived)) == sent
        assert call.statistics.retransmitted == far_call.statistics.retransmitted == 0
        assert call.statistics.dropped_implausible == far_call.statistics.dropped_implausible == 0


class TestRetransmission:
    def test_a_digit_that_was_lost_is_sent_again_once(self) -> None:
        pair = Pair()
        call, _ = pair.answered()
        pair.swallow = lambda sent: sent.source == NEAR
        call.send_digit("5", pair.now, tag="tagged")
        pair.elapse(0.1)
        pair.swallow = lambda _sent: False
        pair.elapse(1)
        assert [event.digit for event in pair.told(FAR, DigitReceived)] == ["5"]
        assert pair.told(NEAR, Acknowledged) == [Acknowledged(call, "tagged")]
        assert call.statistics.retransmitted == 1

    def test_a_vnak_is_answered_at_most_once_in_two_round_trips(self) -> None:
        peer, call = caller_in(State.UP)
        peer.acknowledges = False
        call.send_digit("5", peer.now)
        peer.take()
        peer.iseqno -= 1
        vnak = peer.frame(FrameType.IAX, IaxSubclass.VNAK)
        for _ in range(20):
            peer.put(vnak)
        digits_sent = peer.got(ord("5"), FrameType.DTMF_END)
        assert [each.frame.retransmission for each in digits_sent] == [False, True]
        assert digits_sent[0].padding != digits_sent[1].padding

    def test_a_peer_that_is_gone_is_given_up(self) -> None:
        pair = Pair()
        call, _ = pair.answered()
        pair.swallow = lambda _sent: True
        pair.elapse(30)
        assert pair.told(NEAR, CallEnded) == [CallEnded(call, EndReason.NO_RESPONSE)]
        assert (pair.near.live_calls, pair.far.live_calls) == (0, 0)

    def test_a_peer_that_acknowledges_nothing_gets_64_frames_and_no_more(self) -> None:
        peer, call = caller_in(State.UP)
        peer.acknowledges = False
        for _ in range(OUTSTANDING_MAX + 1):
            call.send_cng(peer.now)
        peer.take()
        assert len(peer.got(0, FrameType.CNG)) == OUTSTANDING_MAX
        assert peer.told(CallEnded) == [CallEnded(call, EndReason.NO_RESPONSE)]
        with pytest.raises(LocalProtocolError):
            call.send_cng(peer.now)

    def test_hanging_up_still_tells_a_peer_that_acknowledges_nothing(self) -> None:
        peer, call = caller_in(State.UP)
        peer.acknowledges = False
        for _ in range(OUTSTANDING_MAX):
            call.send_cng(peer.now)
        call.hang_up(peer.now)
        peer.take()
        assert len(peer.got(IaxSubclass.HANGUP)) == 1
        assert peer.told(CallEnded) == [CallEnded(call, EndReason.LOCAL)]


class TestSignals:
    def test_digits_control_and_noise_arrive_in_order(self) -> None:
        pair = Pair()
        call, far_call = pair.answered()
        call.send_digit("1", pair.now)
        call.send_control(ControlSubclass.HOLD, pair.now)
        call.send_cng(pair.now)
        call.send_text(b"siax/1", pair.now)
        call.send_digit("D", pair.now)
        pair.exchange()
        signals = [event for event in pair.events[FAR] if not isinstance(event, IncomingCall)]
        assert signals == [
            DigitReceived(far_call, "1"),
            ControlReceived(far_call, ControlSubclass.HOLD),
            TextReceived(far_call, b"siax/1"),
            DigitReceived(far_call, "D"),
        ]

    def test_digits_and_noise_look_alike_on_the_wire(self) -> None:
        pair = Pair()
        call, _ = pair.answered()
        before = len(pair.wire)
        call.send_digit("1", pair.now)
        call.send_cng(pair.now)
        call.send_control(ControlSubclass.HOLD, pair.now)
        call.send_text(b"siax/12", pair.now)
        pair.exchange()
        assert {len(sent.data) for sent in pair.wire[before:]} == {36}
        assert len(pair.wire) == before + 8

    @pytest.mark.parametrize("digit", ["", "E", "a", "12", "\n"])
    def test_what_is_no_digit_is_refused_and_not_named(self, digit: str) -> None:
        _, call = caller_in(State.UP)
        with pytest.raises(LocalProtocolError) as error:
            call.send_digit(digit, START)
        assert str(error.value) == "not a DTMF digit"

    def test_controls_that_we_do_not_know_are_acknowledged_and_told(self) -> None:
        peer, call = caller_in(State.UP)
        peer.send(FrameType.CONTROL, -1)
        peer.send(FrameType.CONTROL, 60)
        assert peer.told(ControlReceived) == [ControlReceived(call, -1), ControlReceived(call, 60)]

    @pytest.mark.parametrize(
        ("frame_type", "subclass"),
        [(FrameType.DTMF_BEGIN, ord("5")), (FrameType.CNG, 0), (FrameType.HTML, 0)],
    )
    def test_what_tells_nothing_is_acknowledged(self, frame_type: int, subclass: int) -> None:
        peer, _ = caller_in(State.UP)
        told, acks = len(peer.events), len(peer.got(IaxSubclass.ACK))
        peer.send(frame_type, subclass)
        assert len(peer.events) == told
        assert len(peer.got(IaxSubclass.ACK)) == acks + 1

    def test_an_answer_may_come_again(self) -> None:
        peer, call = caller_in(State.UP)
        answer(peer)
        assert peer.told(CallAnswered) == [CallAnswered(call)] * 2

    @pytest.mark.parametrize(
        ("query", "reply", "echoes"),
        [
            (IaxSubclass.PING, IaxSubclass.PONG, True),
            (IaxSubclass.LAGRQ, IaxSubclass.LAGRP, True),
            (IaxSubclass.TXREQ, IaxSubclass.TXREJ, False),
            (IaxSubclass.PROVISION, IaxSubclass.UNSUPPORT, False),
        ],
    )
    def test_queries_are_answered(
        self, query: IaxSubclass, reply: IaxSubclass, *, echoes: bool
    ) -> None:
        peer, call = caller_in(State.UP)
        peer.started_at -= 0.25
        peer.elapse(3)
        asked_ms = peer.elapsed_ms
        peer.send_iax(query)
        (answered,) = peer.got(reply)
        assert (answered.frame.timestamp_ms == asked_ms) is echoes
        peer.elapse(8)
        assert call.statistics.retransmitted == 0
        assert call.statistics.dropped_implausible == 0

    def test_the_peer_is_asked_every_ten_and_twenty_one_seconds(self) -> None:
        pair = Pair()
        call, far_call = pair.answered()
        pair.elapse(65)
        assert call.state is far_call.state is State.UP
        assert call.rtt_s == 0
        for leg in (call, far_call):
            assert leg.statistics.retransmitted == 0
            assert leg.statistics.dropped_implausible == 0
            # Three in the handshake; 6 LAGRQ and 3 PING, their answers, the answers' ACKs.
            assert leg.statistics.sent_encrypted == 3 + 3 * 9


class TestEnding:
    @pytest.mark.parametrize(
        ("elements", "cause"),
        [
            ((), None),
            (((ElementType.CAUSECODE, (Cause.USER_BUSY, 1)),), Cause.USER_BUSY),
            (((ElementType.CAUSECODE, (17, 2)),), None),
        ],
    )
    def test_the_peer_hangs_up(
        self, elements: tuple[tuple[int, ElementValue], ...], cause: int | None
    ) -> None:
        peer, call = caller_in(State.UP)
        peer.send_iax(IaxSubclass.HANGUP, *elements)
        assert peer.told(CallEnded) == [CallEnded(call, EndReason.HANGUP, cause)]
        assert peer.received[-1].frame.subclass == IaxSubclass.ACK

    @pytest.mark.parametrize("subclass", [IaxSubclass.HANGUP, IaxSubclass.INVAL])
    def test_a_forged_ending_in_clear_is_not_believed(self, subclass: IaxSubclass) -> None:
        peer, call = caller_in(State.UP)
        peer.put(peer.frame(FrameType.IAX, subclass), clear=True)
        assert call.state is State.UP
        assert call.statistics.dropped_clear == 1

    def test_an_encrypted_inval_is_believed(self) -> None:
        peer, call = caller_in(State.UP)
        peer.send_iax(IaxSubclass.INVAL)
        assert peer.told(CallEnded) == [CallEnded(call, EndReason.HANGUP)]

    def test_a_malformed_hangup_ends_nothing(self) -> None:
        peer, call = caller_in(State.UP)
        peer.send(FrameType.IAX, IaxSubclass.HANGUP, b"\x2a")
        assert call.state is State.UP
        assert call.statistics.dropped_malformed == 1

    def test_both_hang_up_at_once(self) -> None:
        pair = Pair()
        call, far_call = pair.answered()
        call.hang_up(pair.now)
        far_call.hang_up(pair.now)
        pair.elapse(1)
        assert pair.told(NEAR, CallEnded) == [CallEnded(call, EndReason.LOCAL)]
        assert pair.told(FAR, CallEnded) == [CallEnded(far_call, EndReason.LOCAL)]
        assert call.state is far_call.state is State.ENDED

    def test_a_hangup_that_is_lost_is_sent_again(self) -> None:
        pair = Pair()
        call, far_call = pair.answered()
        pair.swallow = lambda sent: sent.source == NEAR
        call.hang_up(pair.now, Cause.USER_BUSY)
        pair.elapse(0.1)
        assert far_call.state is State.UP
        pair.swallow = lambda _sent: False
        pair.elapse(1)
        assert pair.told(FAR, CallEnded) == [CallEnded(far_call, EndReason.HANGUP, Cause.USER_BUSY)]

    def test_an_acknowledgement_of_hangup_that_is_lost_comes_again(self) -> None:
        pair = Pair()
        call, _ = pair.answered()
        pair.swallow = lambda sent: sent.source == FAR
        call.hang_up(pair.now)
        pair.elapse(0.1)
        assert pair.near.live_calls == 1
        pair.swallow = lambda _sent: False
        pair.elapse(1)
        assert pair.near.live_calls == pair.far.live_calls == 0
        assert len(pair.told(NEAR, CallEnded)) == len(pair.told(FAR, CallEnded)) == 1

    def test_any_frame_may_acknowledge_the_hangup(self) -> None:
        """Its sequence number tells; nothing is answered any more."""
        peer, call = caller_in(State.HANGUP_SENT)
        peer.iseqno += 1
        peer.send_iax(IaxSubclass.PING)
        assert call.state is State.ENDED
        assert call.statistics.dropped_illegal == 1
        assert not peer.got(IaxSubclass.PONG)

    def test_a_question_while_hanging_up_is_answered(self) -> None:
        peer, call = caller_in(State.HANGUP_SENT)
        peer.send_iax(IaxSubclass.PING)
        assert peer.got(IaxSubclass.PONG)
        assert call.state is State.HANGUP_SENT

    def test_a_call_is_forgotten_ten_seconds_after_its_end(self) -> None:
        pair = Pair()
        call, far_call = pair.answered()
        call.hang_up(pair.now)
        pair.exchange()
        for leg, endpoint in ((call, pair.near), (far_call, pair.far)):
            assert endpoint._calls == {leg.call_number: leg}
        pair.elapse(10)
        for endpoint in (pair.near, pair.far):
            assert not endpoint._calls
            assert not endpoint._by_peer
            assert endpoint.next_timeout() is None
            assert not endpoint._deadlines

    def test_hanging_up_twice_is_fine(self) -> None:
        peer, call = caller_in(State.UP)
        for _ in range(3):
            call.hang_up(peer.now)
            peer.take()
        assert len(peer.told(CallEnded)) == 1
        assert len(peer.got(IaxSubclass.HANGUP)) == 1


def test_a_command_that_we_do_not_know_gets_unsupport_and_ends_nothing() -> None:
    peer, call = caller_in(State.UP)
    peer.send_iax(41)
    (reply,) = peer.got(IaxSubclass.UNSUPPORT)
    assert reply.elements.uint(ElementType.IAX_UNKNOWN, 1) == 41
    peer.send(FrameType.DTMF_END, ord("5"))
    assert digits(peer) == "5"
    assert call.state is State.UP
