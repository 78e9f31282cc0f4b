"""Numbers, acknowledgements and retransmissions of one call's full frames."""

from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.iax2.constants import FrameType
from bridge.iax2.frames import FullFrame
from bridge.iax2.reliability import (
    OUTSTANDING_MAX,
    SEQUENCE_MODULUS,
    SEQUENCE_WINDOW,
    Order,
    Outstanding,
    ReliableSequence,
)
from bridge.iax2.timers import RETRANSMISSION_MAX_S, RETRANSMISSION_MIN_S, RETRANSMISSIONS_MAX

START = 1000.0
FRAME = FullFrame(5, 77, 0, 0, 0, FrameType.CNG, 0)


def send(sequence: ReliableSequence, now: float = START, tag: object = None) -> None:
    sequence.record(replace(FRAME, oseqno=sequence.oseqno), None, now, tag)


def numbered(*, oseqno: int = 0, iseqno: int = 0, sent: int = 0) -> ReliableSequence:
    sequence = ReliableSequence()
    sequence.oseqno, sequence.iseqno = oseqno, iseqno
    for _ in range(sent):
        send(sequence)
    return sequence


def numbers(waiting: Iterable[Outstanding]) -> list[int]:
    return [each.frame.oseqno for each in waiting]


class TestAcknowledgement:
    def test_an_iseqno_acknowledges_all_before_it(self) -> None:
        sequence = numbered(sent=5)
        assert numbers(sequence.acknowledge(3, START)) == [0, 1, 2]
        assert sequence.outstanding == 2
        assert sequence.acknowledge(3, START) == []

    @given(st.integers(0, 255), st.integers(1, OUTSTANDING_MAX), st.integers(0, OUTSTANDING_MAX))
    def test_across_the_wrap(self, first: int, sent: int, count: int) -> None:
        sequence = numbered(oseqno=first, sent=sent)
        acknowledged = sequence.acknowledge((first + count) % SEQUENCE_MODULUS, START)
        assert len(acknowledged) == (count if count <= sent else 0)

    @given(st.integers(0, 255))
    def test_what_was_not_sent_acknowledges_nothing(self, iseqno: int) -> None:
        sequence = numbered(oseqno=100, sent=3)
        acknowledged = sequence.acknowledge(iseqno, START)
        assert len(acknowledged) == {101: 1, 102: 2, 103: 3}.get(iseqno, 0)

    def test_nothing_outstanding(self) -> None:
        assert numbered().acknowledge(7, START) == []

    def test_tags_come_back(self) -> None:
        sequence = ReliableSequence()
        for tag in ("a", None, "b"):
            send(sequence, tag=tag)
        assert [each.tag for each in sequence.acknowledge(3, START)] == ["a", None, "b"]

    def test_what_is_sent_carries_what_is_owed(self) -> None:
        sequence = ReliableSequence()
        sequence.accept()
        assert sequence.acknowledgement_owed
        send(sequence)
        assert not sequence.acknowledgement_owed

    def test_nobody_acknowledges_what_was_dropped(self) -> None:
        sequence = numbered(sent=3)
        sequence.drop_outstanding()
        assert sequence.outstanding == 0
        assert sequence.next_deadline() is None
        assert sequence.acknowledge(3, START) == []

    def test_there_is_a_limit(self) -> None:
        sequence = numbered(sent=OUTSTANDING_MAX - 1)
        assert not sequence.is_full
        send(sequence)
        assert sequence.is_full
        assert OUTSTANDING_MAX < SEQUENCE_MODULUS // 2

    def test_a_new_start_forgets_all_but_the_round_trip_time(self) -> None:
        sequence = numbered(oseqno=9, iseqno=8, sent=2)
        sequence.measure_rtt(0.3)
        sequence.hold(replace(FRAME, oseqno=9))
        sequence.reset()
        assert (sequence.oseqno, sequence.iseqno, sequence.outstanding) == (0, 0, 0)
        assert not sequence.has_sent(0)
        assert sequence.rtt_s == 0.3
        sequence.iseqno = 9
        assert sequence.pop_held() is None


class TestOrder:
    @pytest.mark.parametrize("iseqno", [0, 100, 255])
    def test_a_number_is_placed_by_half_of_the_circle(self, iseqno: int) -> None:
        sequence = numbered(iseqno=iseqno)
        orders = [sequence.order_of((iseqno + ahead) % 256) for ahead in range(256)]
        assert orders[0] is Order.EXPECTED
        assert set(orders[1:128]) == {Order.AHEAD}
        assert set(orders[128:]) == {Order.BEHIND}

    def test_numbers_wrap(self) -> None:
        sequence = numbered(oseqno=255, iseqno=255)
        sequence.accept()
        send(sequence)
        assert (sequence.oseqno, sequence.iseqno) == (0, 0)

    def test_an_early_frame_waits_for_its_turn(self) -> None:
        sequence = numbered(iseqno=254)
        early = [replace(FRAME, oseqno=oseqno) for oseqno in (255, 0)]
        for frame in reversed(early):
            sequence.hold(frame)
        assert sequence.pop_held() is None
        for frame in early:
            sequence.accept()
            assert sequence.pop_held() == frame
        sequence.accept()
        assert sequence.pop_held() is None

    def test_only_a_window_of_early_frames_is_kept(self) -> None:
        sequence = ReliableSequence()
        for oseqno in range(1, 128):
            sequence.hold(replace(FRAME, oseqno=oseqno))
        assert len(sequence._held) == SEQUENCE_WINDOW

    def test_an_early_frame_that_came_again_in_its_turn_is_not_kept_for_the_next_round(
        self,
    ) -> None:
        sequence = ReliableSequence()
        sequence.hold(replace(FRAME, oseqno=1))
        sequence.accept()
        sequence.accept()
        sequence.iseqno = 1
        assert sequence.pop_held() is None


class TestRetransmission:
    def test_five_times_in_all_and_then_the_peer_counts_as_gone(self) -> None:
        sequence = numbered(sent=1)
        at_s = []
        while True:
            deadline = sequence.next_deadline()
            assert deadline is not None
            assert sequence.due(deadline - 0.001) == []
            (waiting,) = sequence.due(deadline)
            if waiting.is_exhausted:
                break
            at_s.append(deadline - START)
        assert at_s == [0.5, 1.5, 3.5, 7.5]
        assert len(at_s) == RETRANSMISSIONS_MAX

    def test_each_second_and_without_end_in_a_handshake(self) -> None:
        sequence = numbered(sent=1)
        at_s = []
        for _ in range(20):
            deadline = sequence.next_deadline()
            assert deadline is not None
            (waiting,) = sequence.due(deadline, handshake=True)
            assert not waiting.is_exhausted
            at_s.append(deadline - START)
        assert at_s == [0.5 + second for second in range(20)]

    def test_twice_the_round_trip_time_once_it_is_known(self) -> None:
        sequence = ReliableSequence()
        sequence.measure_rtt(0.4)
        send(sequence)
        assert sequence.next_deadline() == START + 0.8

    @pytest.mark.parametrize(
        ("rtt_s", "interval_s"),
        [(None, 0.5), (0.0, RETRANSMISSION_MIN_S), (0.4, 0.8), (60.0, RETRANSMISSION_MAX_S)],
    )
    def test_within_bounds(self, rtt_s: float | None, interval_s: float) -> None:
        sequence = ReliableSequence()
        sequence.rtt_s = rtt_s
        assert sequence.retransmission_interval_s() == interval_s

    def test_a_path_that_has_become_slow_is_learned(self) -> None:
        """Else each frame would be sent twice for good: what was sent again measures nothing."""
        sequence = ReliableSequence()
        sequence.measure_rtt(0.01)
        again = []
        for number in range(20):
            send(sequence, START + number)
            again.append(sequence.due(START + number + 0.6) != [])
            sequence.acknowledge(sequence.oseqno, START + number + 0.6)
        assert again == [True, True] + [False] * 18

    def test_patience_ends_with_the_next_measurement(self) -> None:
        sequence = numbered(sent=1)
        sequence.due(START + 0.5)
        sequence.acknowledge(1, START + 0.6)
        send(sequence, START + 1)
        assert sequence.acknowledge(2, START + 1.1)
        send(sequence, START + 2)
        assert sequence.next_deadline() == START + 2 + RETRANSMISSION_MIN_S

    def test_what_waited_behind_a_lost_frame_measures_nothing(self) -> None:
        """Else each loss makes the next repair slower, on a path that is as fast as before."""
        sequence = ReliableSequence()
        sequence.measure_rtt(0.03)
        send(sequence)
        sequence.due(START + 0.25)
        send(sequence, START + 0.26)
        assert numbers(sequence.due(START + 0.75)) == [0]
        assert len(sequence.acknowledge(2, START + 0.755)) == 2
        assert sequence.rtt_s == 0.03

    def test_never_more_than_ten_seconds_apart(self) -> None:
        sequence = ReliableSequence()
        sequence.measure_rtt(4.0)
        send(sequence)
        sequence.due(START + 8)
        assert sequence.next_deadline() == START + 8 + RETRANSMISSION_MAX_S

    def test_the_oldest_first_and_only_what_is_due(self) -> None:
        sequence = ReliableSequence()
        for now in (START, START, START + 0.3):
            send(sequence, now)
        assert numbers(sequence.due(START + 0.5)) == [0, 1]
        assert sequence.next_deadline() == START + 0.8


class TestRoundTripTime:
    def test_is_smoothed(self) -> None:
        sequence = numbered(sent=1)
        sequence.acknowledge(1, START + 0.1)
        assert sequence.rtt_s == pytest.approx(0.1)
        send(sequence, START + 1)
        sequence.acknowledge(2, START + 1.9)
        assert sequence.rtt_s == pytest.approx(0.1 + 0.8 / 8)

    def test_is_not_measured_on_what_was_sent_again_in_its_time(self) -> None:
        sequence = numbered(sent=1)
        sequence.due(START + 0.5)
        sequence.acknowledge(1, START + 0.6)
        assert sequence.rtt_s is None

    def test_is_not_measured_on_what_was_sent_again_for_a_vnak(self) -> None:
        sequence = numbered(sent=1)
        sequence.answer_vnak(0, START + 0.4)
        sequence.acknowledge(1, START + 0.45)
        assert sequence.rtt_s is None


class TestVnak:
    @pytest.mark.parametrize(("rtt_s", "wait_s"), [(None, 0.5), (1.0, 2.0)])
    def test_is_sent_once_in_two_round_trips(self, rtt_s: float | None, wait_s: float) -> None:
        sequence = ReliableSequence()
        sequence.rtt_s = rtt_s
        sent_s = [at / 100 for at in range(1000) if sequence.may_send_vnak(START + at / 100)]
        assert sent_s[:3] == pytest.approx([0, wait_s, 2 * wait_s])

    @pytest.mark.parametrize(("rtt_s", "wait_s"), [(None, 0.5), (1.0, 2.0)])
    def test_is_answered_once_in_two_round_trips(self, rtt_s: float | None, wait_s: float) -> None:
        sequence = numbered(sent=1)
        sequence.rtt_s = rtt_s
        answered_s = [at / 100 for at in range(1000) if sequence.answer_vnak(0, START + at / 100)]
        assert answered_s[:3] == pytest.approx([0, wait_s, 2 * wait_s])

    def test_asks_for_all_from_its_number_on(self) -> None:
        sequence = numbered(oseqno=254, sent=5)
        assert numbers(sequence.answer_vnak(0, START)) == [0, 1, 2]

    def test_does_not_bring_the_end_nearer(self) -> None:
        """Whoever asks is alive, so that asking often must not count as silence."""
        sequence = numbered(sent=1)
        for second in range(100):
            sequence.answer_vnak(0, START + second)
        assert not any(waiting.is_exhausted for waiting in sequence.due(START + 100))


def test_a_timestamp_is_known_as_ours_for_256_frames() -> None:
    sequence = ReliableSequence()
    for timestamp_ms in range(300):
        frame = replace(FRAME, oseqno=sequence.oseqno, timestamp_ms=timestamp_ms)
        sequence.record(frame, None, START, None)
        sequence.acknowledge(sequence.oseqno, START)
    assert not sequence.has_sent(43)
    assert all(sequence.has_sent(timestamp_ms) for timestamp_ms in range(44, 300))


def test_what_waits_shows_neither_frame_nor_digit() -> None:
    sequence = ReliableSequence()
    sequence.record(replace(FRAME, subclass=ord("7"), data=b"7"), None, START, None)
    assert "7" not in repr(sequence._outstanding[0]).replace("sealer", "")
