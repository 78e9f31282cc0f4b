"""A peer is poked on a clock of its own, and what it answers, late or never, is told once."""

from random import Random

import pytest

from bridge.iax2 import Address, Endpoint, Qualification, Reachability, ReachabilityChanged
from bridge.iax2.constants import ElementType, FrameType, IaxSubclass
from bridge.iax2.elements import InformationElements, parse_elements_untrusted
from bridge.iax2.frames import FullFrame, parse_frame_untrusted
from bridge.iax2.qualify import Qualifier
from tests.lab.iax2_peer import PEER, STRANGER
from tests.lab.iax2_wire import START

IPV6: Address = ("2001:db8::9", 4569, 0, 0)


class Poked:
    """A peer that is qualified as "hq"; it answers after `rtt_s`, or never where that is None."""

    def __init__(self, interval_s: float = 60.0) -> None:
        self.endpoint = Endpoint(entropy=Random(1).randbytes)
        self.now = START
        self.rtt_s: float | None = 0.02
        self.address: Address = PEER
        self.pokes: list[tuple[float, FullFrame]] = []
        self.acks: list[FullFrame] = []
        self.told: list[ReachabilityChanged] = []
        self._answers: list[tuple[float, FullFrame]] = []
        self.qualifier = self.endpoint.peers.qualify("hq", START, interval_s=interval_s)

    def begin(self) -> "Poked":
        self.qualifier.move_to(PEER, self.now)
        return self

    @property
    def seen(self) -> Qualification:
        return self.qualifier.seen

    def elapse(self, seconds: float) -> None:
        end = self.now + seconds
        self._take()
        while (due := self._next_at()) <= end:
            self.now = due
            while self._answers and self._answers[0][0] <= due:
                self.receive(pong_to(self._answers.pop(0)[1]))
            self.endpoint.handle_timeout(due)
            self._take()
        self.now = end

    def receive(self, frame: FullFrame, address: Address = PEER) -> None:
        self.endpoint.receive_datagram(frame.encode(), address, self.now)
        self._take()

    def poked_at(self) -> list[float]:
        return [round(at - START, 3) for at, _ in self.pokes]

    def _next_at(self) -> float:
        due = self.endpoint.next_timeout()
        times = [at for at, _ in self._answers] + ([due] if due is not None else [])
        return min(times, default=float("inf"))

    def _take(self) -> None:
        while (transmit := self.endpoint.poll_transmit()) is not None:
            assert transmit.address == self.address
            frame = parse_frame_untrusted(transmit.data)
            assert isinstance(frame, FullFrame)
            if frame.subclass == IaxSubclass.ACK:
                self.acks.append(frame)
                continue
            self.pokes.append((self.now, frame))
            if self.rtt_s is not None:
                self._answers.append((self.now + self.rtt_s, frame))
        while (event := self.endpoint.peers.poll_event()) is not None:
            assert isinstance(event, ReachabilityChanged)
            self.told.append(event)


def pong_to(
    poke: FullFrame, subclass: int = IaxSubclass.PONG, source: int = 1, data: bytes = b""
) -> FullFrame:
    return FullFrame(
        source,
        poke.source_call_number,
        poke.timestamp_ms,
        0,
        1,
        FrameType.IAX,
        subclass,
        data,
    )


def token(text: bytes) -> bytes:
    return InformationElements.of((ElementType.CALLTOKEN, text)).encode()


class TestReachable:
    def test_a_poke_is_as_asterisk_sends_it(self) -> None:
        poked = Poked().begin()
        poked.elapse(0)
        ((_, poke),) = poked.pokes
        assert (poke.frame_type, poke.subclass) == (FrameType.IAX, IaxSubclass.POKE)
        assert (poke.destination_call_number, poke.oseqno, poke.iseqno) == (0, 0, 0)
        assert poke.source_call_number == poked.qualifier.call_number > 1
        assert parse_elements_untrusted(poke.data).pairs == ((ElementType.CALLTOKEN, b""),)

    def test_it_is_poked_each_minute(self) -> None:
        poked = Poked().begin()
        poked.elapse(200)
        assert poked.poked_at() == [0, 60, 120, 180]
        assert len({frame.source_call_number for _, frame in poked.pokes}) == 1

    def test_or_as_often_as_configured(self) -> None:
        poked = Poked(interval_s=5).begin()
        poked.elapse(16)
        assert poked.poked_at() == [0, 5, 10, 15]

    def test_the_first_answer_is_told_and_no_other(self) -> None:
        poked = Poked()
        assert poked.seen == Qualification()
        poked.begin().elapse(310)
        (told,) = poked.told
        assert told.peer == "hq"
        assert told.qualification.reachability is Reachability.REACHABLE
        assert told.qualification.since == pytest.approx(START + 0.02)
        assert (poked.seen.pokes, poked.seen.pongs) == (6, 6)

    def test_the_round_trip_time_is_smoothed(self) -> None:
        poked = Poked().begin()
        poked.elapse(59)
        assert poked.seen.rtt_s == pytest.approx(0.02)
        poked.rtt_s = 0.1
        poked.elapse(60)
        assert poked.seen.last_rtt_s == pytest.approx(0.1)
        assert poked.seen.rtt_s == pytest.approx(0.02 + 0.08 / 4)

    def test_a_peer_with_state_for_a_poke_is_acknowledged(self) -> None:
        poked = Poked()
        poked.rtt_s = None
        poked.begin().elapse(0.1)
        poked.receive(pong_to(poked.pokes[0][1], source=99))
        (ack,) = poked.acks
        assert (ack.source_call_number, ack.destination_call_number) == (
            poked.qualifier.call_number,
            99,
        )
        assert (ack.timestamp_ms, ack.oseqno, ack.iseqno) == (0, 1, 1)
        assert poked.seen.reachability is Reachability.REACHABLE

    def test_a_stateless_one_is_not(self) -> None:
        poked = Poked().begin()
        poked.elapse(200)
        assert not poked.acks


class TestUnreachable:
    def test_five_pokes_without_an_answer_tell(self) -> None:
        poked = Poked()
        poked.rtt_s = None
        poked.begin().elapse(7.4)
        assert poked.poked_at() == [0, 0.5, 1.5, 3.5, 5.5]
        assert not poked.told
        poked.elapse(0.1)
        assert poked.seen == Qualification(Reachability.UNREACHABLE, START, pokes=5)
        assert [told.qualification for told in poked.told] == [poked.seen]

    def test_it_is_poked_each_ten_seconds_and_told_once(self) -> None:
        poked = Poked()
        poked.rtt_s = None
        poked.begin().elapse(100)
        assert [at for at in poked.poked_at() if at % 10 == 0] == list(range(0, 101, 10))
        assert len(poked.told) == 1

    def test_one_that_was_fast_is_poked_again_sooner(self) -> None:
        poked = Poked().begin()
        poked.elapse(59)
        poked.rtt_s = None
        poked.elapse(10)
        assert poked.poked_at()[1:] == [60, 60.25, 60.75, 61.75, 63.75]
        assert poked.seen.reachability is Reachability.UNREACHABLE
        assert poked.seen.since == START + 60
        assert poked.seen.rtt_s == pytest.approx(0.02)

    def test_it_comes_back_with_the_first_answer(self) -> None:
        poked = Poked()
        poked.rtt_s = None
        poked.begin().elapse(8)
        poked.rtt_s = 0.03
        poked.elapse(20)
        states = [told.qualification.reachability for told in poked.told]
        assert states == [Reachability.UNREACHABLE, Reachability.REACHABLE]
        assert poked.poked_at()[-1] == 10
        assert poked.seen.rtt_s == pytest.approx(0.03)

    def test_a_lost_poke_is_nothing_to_tell(self) -> None:
        poked = Poked().begin()
        poked.elapse(59.9)
        poked.rtt_s = None
        poked.elapse(0.2)
        poked.rtt_s = 0.02
        poked.elapse(100)
        assert len(poked.told) == 1
        assert (poked.seen.pokes, poked.seen.pongs) == (4, 3)
        # The answer tells which POKE it is for.
        assert poked.seen.last_rtt_s == pytest.approx(0.02)


class TestLate:
    def test_over_two_seconds_is_late(self) -> None:
        poked = Poked()
        poked.rtt_s = 2.5
        poked.begin().elapse(9.9)
        (told,) = poked.told
        assert told.qualification.reachability is Reachability.LATE
        assert told.qualification.rtt_s == pytest.approx(2.5)
        poked.elapse(0.2)
        assert poked.poked_at()[-1] == 10

    def test_one_late_answer_of_a_fast_peer_is_not(self) -> None:
        poked = Poked().begin()
        poked.elapse(59)
        poked.rtt_s = 4
        poked.elapse(10)
        assert poked.seen.last_rtt_s == pytest.approx(4)
        assert poked.seen.reachability is Reachability.REACHABLE

    def test_an_answer_behind_the_end_of_the_round_counts_no_more(self) -> None:
        poked = Poked()
        poked.rtt_s = 7.6
        poked.begin().elapse(100)
        assert poked.seen.reachability is Reachability.UNREACHABLE
        assert poked.seen.pongs == 0


class TestMoving:
    def test_without_an_address_nothing_is_sent(self) -> None:
        poked = Poked()
        poked.elapse(100)
        assert not poked.pokes
        assert poked.endpoint.next_timeout() is None

    def test_the_same_address_changes_nothing(self) -> None:
        poked = Poked().begin()
        poked.elapse(30)
        before = poked.seen
        poked.qualifier.move_to(PEER, poked.now)
        poked.elapse(1)
        assert poked.seen == before
        assert len(poked.pokes) == 1

    def test_another_address_is_another_peer(self) -> None:
        poked = Poked().begin()
        poked.elapse(30)
        poked.address = STRANGER
        poked.qualifier.move_to(STRANGER, poked.now)
        assert poked.seen == Qualification(pokes=2, pongs=1)
        poked.elapse(1)
        poked.receive(pong_to(poked.pokes[-1][1]), PEER)
        assert poked.seen.pongs == 1
        assert poked.endpoint.dropped["no such call"] >= 1
        poked.receive(pong_to(poked.pokes[-1][1]), STRANGER)
        assert poked.seen.reachability is Reachability.REACHABLE

    def test_a_lost_address_ends_it(self) -> None:
        poked = Poked().begin()
        poked.elapse(30)
        poked.qualifier.move_to(None, poked.now)
        poked.elapse(100)
        assert len(poked.pokes) == 1
        assert poked.seen.reachability is Reachability.UNKNOWN

    def test_ipv6(self) -> None:
        poked = Poked()
        poked.address, poked.rtt_s = IPV6, None
        poked.qualifier.move_to(IPV6, poked.now)
        poked.elapse(0.1)
        poked.receive(pong_to(poked.pokes[0][1]), IPV6)
        assert poked.seen.reachability is Reachability.REACHABLE


class TestCallToken:
    def test_a_peer_that_asks_for_one_gets_it(self) -> None:
        poked = Poked()
        poked.rtt_s = None
        poked.begin().elapse(0.1)
        poke = poked.pokes[0][1]
        poked.receive(pong_to(poke, IaxSubclass.CALLTOKEN, data=token(b"a token")))
        (_, again) = poked.pokes[-1]
        assert parse_elements_untrusted(again.data).get(ElementType.CALLTOKEN) == b"a token"
        poked.receive(pong_to(again))
        assert poked.seen.reachability is Reachability.REACHABLE

    def test_but_not_over_and_over(self) -> None:
        poked = Poked()
        poked.rtt_s = None
        poked.begin().elapse(0.1)
        for _ in range(5):
            poked.receive(pong_to(poked.pokes[0][1], IaxSubclass.CALLTOKEN, data=token(b"a token")))
        assert len(poked.pokes) == 2

    def test_an_empty_one_asks_for_nothing(self) -> None:
        poked = Poked()
        poked.rtt_s = None
        poked.begin().elapse(0.1)
        for _ in range(5):
            poked.receive(pong_to(poked.pokes[0][1], IaxSubclass.CALLTOKEN))
        assert len(poked.pokes) == 1


class TestHostile:
    @pytest.mark.parametrize(
        "subclass", [IaxSubclass.ACK, IaxSubclass.HANGUP, IaxSubclass.INVAL, IaxSubclass.REGREJ]
    )
    def test_what_is_no_pong_changes_nothing(self, subclass: int) -> None:
        poked = Poked()
        poked.rtt_s = None
        poked.begin().elapse(0.1)
        before = poked.seen
        poked.receive(pong_to(poked.pokes[0][1], subclass))
        assert poked.seen == before
        assert len(poked.pokes) == 1

    def test_a_pong_that_echoes_nothing_of_ours_is_dropped(self) -> None:
        poked = Poked()
        poked.rtt_s = None
        poked.begin().elapse(0.1)
        poke = poked.pokes[0][1]
        forged = FullFrame(1, poke.source_call_number, 12345, 0, 1, FrameType.IAX, IaxSubclass.PONG)
        poked.receive(forged)
        assert poked.seen.reachability is Reachability.UNKNOWN

    def test_a_pong_is_counted_once(self) -> None:
        poked = Poked()
        poked.rtt_s = None
        poked.begin().elapse(0.1)
        for _ in range(3):
            poked.receive(pong_to(poked.pokes[0][1]))
        assert poked.seen.pongs == 1

    def test_what_is_no_iax_frame_is_malformed(self) -> None:
        poked = Poked()
        poked.rtt_s = None
        poked.begin().elapse(0.1)
        poke = poked.pokes[0][1]
        poked.receive(FullFrame(1, poke.source_call_number, 0, 0, 1, FrameType.CONTROL, 4))
        poked.receive(pong_to(poke, IaxSubclass.CALLTOKEN, data=b"\x36\xff"))
        assert poked.endpoint.dropped == {"malformed": 2}


def test_many_links_keep_a_number_each_and_nothing_more() -> None:
    endpoint = Endpoint(entropy=Random(1).randbytes)
    qualifiers: list[Qualifier] = []
    for number in range(300):
        qualifier = endpoint.peers.qualify(f"link-{number}", START)
        qualifier.move_to((f"192.0.2.{number % 250}", 4569), START)
        qualifiers.append(qualifier)
    now = START
    while now < START + 600:
        now = endpoint.next_timeout() or now
        endpoint.handle_timeout(now)
    assert endpoint.call_numbers_taken == 300
    assert endpoint.call_numbers_leaked == 0
    assert len(endpoint._deadlines) <= 300
