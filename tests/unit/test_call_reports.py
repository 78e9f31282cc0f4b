"""A call leg as both roles share it: reports of its quality, and ends that come in clear."""

from dataclasses import replace

import pytest

from bridge.iax2 import CallEnded, EndReason
from bridge.iax2.constants import FrameType, IaxSubclass
from bridge.iax2.reports import ReceptionReport
from bridge.iax2.states import State
from bridge.iax2.timers import RETRANSMISSIONS_MAX
from tests.lab.iax2_pair import Pair
from tests.lab.iax2_peer import VOICE
from tests.lab.iax2_phases import caller_in


class TestReports:
    def test_what_a_pong_tells_is_kept(self) -> None:
        peer, call = caller_in(State.UP)
        assert call.far_reception is None
        told = ReceptionReport(7, 10, 10, 90, 40, 3, 2)
        peer.send(FrameType.IAX, IaxSubclass.PING)
        peer.elapse(21)
        (ping,) = peer.got(IaxSubclass.PING)
        pong = peer.frame(FrameType.IAX, IaxSubclass.PONG, told.elements().encode())
        peer.put(replace(pong, timestamp_ms=ping.frame.timestamp_ms))
        assert call.far_reception == told

    def test_a_pong_without_a_report_changes_nothing(self) -> None:
        peer, call = caller_in(State.UP)
        call.far_reception = ReceptionReport(received=5)
        peer.elapse(21)
        (ping,) = peer.got(IaxSubclass.PING)
        pong = peer.frame(FrameType.IAX, IaxSubclass.PONG)
        peer.put(replace(pong, timestamp_ms=ping.frame.timestamp_ms))
        assert call.far_reception == ReceptionReport(received=5)

    def test_a_lagrp_tells_the_lag(self) -> None:
        peer, call = caller_in(State.UP)
        peer.elapse(10)
        (question,) = peer.got(IaxSubclass.LAGRQ)
        peer.now += 0.125
        reply = peer.frame(FrameType.IAX, IaxSubclass.LAGRP)
        peer.put(replace(reply, timestamp_ms=question.frame.timestamp_ms))
        assert call.lag_s == pytest.approx(0.125, abs=0.001)

    def test_each_end_tells_the_other_how_voice_arrives(self) -> None:
        pair = Pair()
        call, far_call = pair.answered()
        lost = [False]
        pair.swallow = lambda _sent: lost[0]
        for number in range(10):
            lost[0] = number == 5
            call.send_voice(VOICE, number * 20, pair.now)
            pair.elapse(0.02)
        pair.elapse(21)
        assert far_call.reception.received == 9
        assert far_call.reception.lost == 1
        assert call.far_reception == far_call.reception
        assert far_call.far_reception == call.reception


class TestEndsInClear:
    """Anybody can say in clear that an encrypted call is over: the peer itself is asked."""

    @pytest.mark.parametrize(
        "subclass", [IaxSubclass.INVAL, IaxSubclass.HANGUP, IaxSubclass.REJECT]
    )
    def test_a_peer_that_knows_the_call_goes_on(self, subclass: IaxSubclass) -> None:
        peer, call = caller_in(State.UP)
        peer.put(peer.frame(FrameType.IAX, subclass), clear=True)
        peer.elapse(9)
        assert call.state is State.UP
        assert len(peer.got(IaxSubclass.PING)) == 1
        assert (call.statistics.dropped_clear, call.statistics.ends_in_clear) == (1, 1)

    def test_a_peer_that_has_started_anew_ends_it_within_eight_seconds(self) -> None:
        peer, call = caller_in(State.UP)
        peer.acknowledges = False
        peer.put(peer.frame(FrameType.IAX, IaxSubclass.INVAL), clear=True)
        peer.elapse(8)
        assert peer.told(CallEnded) == [CallEnded(call, EndReason.NO_RESPONSE)]
        assert len(peer.got(IaxSubclass.PING)) == 1 + RETRANSMISSIONS_MAX

    def test_nobody_makes_us_ask_more_than_once_in_ten_seconds(self) -> None:
        peer, _ = caller_in(State.UP)
        inval = peer.frame(FrameType.IAX, IaxSubclass.INVAL).encode()
        for _ in range(1000):
            peer.inject(inval)
            peer.elapse(0.02)
        assert len(peer.got(IaxSubclass.PING)) == 2

    def test_a_call_that_waits_for_its_challenges_answer_is_not_asked(self) -> None:
        peer, call = caller_in(State.AUTHREP_SENT)
        peer.put(peer.frame(FrameType.IAX, IaxSubclass.INVAL), clear=True)
        peer.elapse(1)
        assert not peer.got(IaxSubclass.PING)
        assert call.state is State.AUTHREP_SENT
