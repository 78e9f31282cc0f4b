"""An endpoint as strangers, callers and its driver see it."""

from dataclasses import replace
from random import Random

import pytest

from bridge.iax2 import Call, CallEnded, Cause, Endpoint, IncomingCall, LocalProtocolError, User
from bridge.iax2.admission import UNAUTHENTICATED_MAX, UNAUTHENTICATED_PER_SOURCE_MAX
from bridge.iax2.constants import CALL_NUMBER_MAX, ElementType, FrameType, IaxSubclass
from bridge.iax2.elements import InformationElements
from bridge.iax2.endpoint import CALLS_MAX
from bridge.iax2.states import State
from bridge.iax2.timers import CALL_NUMBER_QUARANTINE_S, LINGER_S
from tests.lab.iax2_pair import SECRET, USERNAME, Pair, call_profile
from tests.lab.iax2_peer import PEER, STRANGER, Peer
from tests.lab.iax2_phases import (
    ask_token,
    callee_in,
    callee_of,
    caller_in,
    dropped,
    new_elements,
    new_frame,
    prove,
    send_new,
    taker,
)
from tests.lab.iax2_wire import FAR, NEAR, START

IPV6 = ("2001:db8::9", 4569, 0, 0)


class TestCallToken:
    def test_a_new_without_one_gets_one_and_costs_nothing(self) -> None:
        peer = taker()
        question = peer.put(new_frame(peer))
        (reply,) = peer.received
        assert (reply.frame.source_call_number, reply.frame.destination_call_number) == (1, 77)
        assert (reply.frame.oseqno, reply.frame.iseqno) == (0, 1)
        assert len(reply.datagram) <= 1.5 * len(question)
        assert not peer.endpoint._calls
        assert peer.endpoint.call_numbers_taken == 0
        assert peer.endpoint.next_timeout() is None

    def test_a_new_without_the_element_gets_one_as_well(self) -> None:
        peer = taker()
        elements = InformationElements(new_elements().pairs[:-1])
        peer.put(peer.frame(FrameType.IAX, IaxSubclass.NEW, elements.encode()))
        assert peer.got(IaxSubclass.CALLTOKEN)

    def test_the_token_makes_a_call(self) -> None:
        peer = taker()
        send_new(peer, new_elements(ask_token(peer)))
        assert callee_of(peer).state is State.AUTHREQ_SENT

    def test_it_is_good_for_ten_seconds(self) -> None:
        peer = taker()
        token = ask_token(peer)
        peer.now += 11
        send_new(peer, new_elements(token))
        assert not peer.endpoint._calls
        assert dropped(peer) == {"invalid call token": 1}

    @pytest.mark.parametrize("address", [STRANGER, ("192.0.2.9", 4570), IPV6])
    def test_it_is_good_for_its_address_alone(
        self, address: tuple[str, int] | tuple[str, int, int, int]
    ) -> None:
        peer = taker()
        token = ask_token(peer)
        peer.inject(new_frame(peer, token).encode(), address)
        assert not peer.endpoint._calls
        assert dropped(peer) == {"invalid call token": 1}

    def test_an_invented_one_is_not_even_answered(self) -> None:
        peer = taker()
        peer.put(new_frame(peer, b"A" * 20))
        assert not peer.received
        assert dropped(peer) == {"invalid call token": 1}

    @pytest.mark.parametrize("octets", range(12, 60))
    def test_the_answer_has_at_most_one_and_a_half_times_the_octets(self, octets: int) -> None:
        peer = taker()
        filler = octets - 12
        data = b"" if filler < 2 else bytes((ElementType.USERNAME, filler - 2)) + bytes(filler - 2)
        question = peer.put(peer.frame(FrameType.IAX, IaxSubclass.NEW, data))
        assert all(len(reply.datagram) <= 1.5 * len(question) for reply in peer.received)
        assert bool(peer.received) == (1.5 * len(question) >= 34)
        assert dropped(peer).get("question too short for its answer", 0) == (not peer.received)

    def test_over_ipv6(self) -> None:
        peer = taker()
        peer.address = IPV6
        send_new(peer, new_elements(ask_token(peer)))
        prove(peer)
        assert peer.told(IncomingCall)


class TestNew:
    @pytest.mark.parametrize("encryption", [None, 0, 0x8000])
    def test_without_encryption_is_refused(self, encryption: int | None) -> None:
        peer = taker()
        token = ask_token(peer)
        peer.put(
            peer.frame(
                FrameType.IAX, IaxSubclass.NEW, new_elements(token, encryption=encryption).encode()
            )
        )
        (rejected,) = peer.got(IaxSubclass.REJECT)
        assert rejected.elements.uint(ElementType.CAUSECODE, 1) == Cause.FACILITY_REJECTED
        assert not peer.endpoint._calls

    def test_that_comes_again_makes_no_second_call(self) -> None:
        peer = taker()
        datagram = new_frame(peer, ask_token(peer)).encode()
        for _ in range(5):
            peer.inject(datagram)
        assert len(peer.endpoint._calls) == 1
        assert len(peer.got(IaxSubclass.AUTHREQ)) == 1

    @pytest.mark.parametrize("data", [b"\x06", b"\x06\xff", bytes(1025)])
    def test_that_is_malformed_is_dropped(self, data: bytes) -> None:
        peer = taker()
        peer.put(peer.frame(FrameType.IAX, IaxSubclass.NEW, data))
        assert not peer.received
        assert dropped(peer) == {"malformed": 1}

    def test_a_source_has_eight_calls_without_proof_at_a_time(self) -> None:
        peer = taker()
        token = ask_token(peer)
        for number in range(UNAUTHENTICATED_PER_SOURCE_MAX + 3):
            peer.call_number = 100 + number
            send_new(peer, new_elements(token))
        assert len(peer.endpoint._calls) == UNAUTHENTICATED_PER_SOURCE_MAX == 8
        assert dropped(peer) == {"too many unauthenticated calls": 3}
        other = Peer(peer.endpoint, address=STRANGER)
        send_new(other, new_elements(ask_token(other)))
        assert callee_of(other).state is State.AUTHREQ_SENT

    def test_giving_up_does_not_get_round_that(self) -> None:
        peer = taker()
        token = ask_token(peer)
        for number in range(100):
            peer.call_number = 100 + number
            send_new(peer, new_elements(token))
            peer.send_iax(IaxSubclass.HANGUP)
        assert len(peer.endpoint._calls) == UNAUTHENTICATED_PER_SOURCE_MAX
        peer.elapse(10.1)
        peer.call_number = 300
        send_new(peer, new_elements(ask_token(peer)))
        assert callee_of(peer).state is State.AUTHREQ_SENT

    def test_those_that_proved_themselves_do_not_count(self) -> None:
        peer = taker()
        for number in range(2 * UNAUTHENTICATED_PER_SOURCE_MAX):
            callee_in(State.UP, Peer(peer.endpoint, call_number=100 + number))
        assert peer.endpoint.live_calls == 2 * UNAUTHENTICATED_PER_SOURCE_MAX

    def test_neighbours_in_an_ipv6_network_are_one_source(self) -> None:
        endpoint = taker().endpoint
        for host in range(UNAUTHENTICATED_PER_SOURCE_MAX + 3):
            neighbour = Peer(endpoint, address=(f"2001:db8:0:7::{host + 1:x}", 4569, 0, 0))
            send_new(neighbour, new_elements(ask_token(neighbour)))
        assert endpoint.dropped["too many unauthenticated calls"] == 3
        stranger = Peer(endpoint, address=("2001:db8:0:8::1", 4569, 0, 0))
        send_new(stranger, new_elements(ask_token(stranger)))
        assert callee_of(stranger).state is State.AUTHREQ_SENT

    def test_there_is_a_limit_for_a_source(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("bridge.iax2.admission.CALLS_PER_SOURCE_MAX", 5)
        peer = taker()
        for number in range(7):
            peer.call_number = 100 + number
            send_new(peer, new_elements(ask_token(peer)))
            if peer.other_call_number:
                prove(peer)
                peer.keys.clear()
                peer.key = None
        assert peer.endpoint.live_calls == 5
        assert peer.endpoint.dropped["too many calls of a source"] == 2

    def test_there_is_a_limit_for_all_sources(self) -> None:
        endpoint = Endpoint([User(USERNAME, (SECRET,))], entropy=Random(1).randbytes)
        for host in range(UNAUTHENTICATED_MAX + 2):
            peer = Peer(endpoint, address=(f"198.51.{host // 250}.{host % 250}", 4569))
            send_new(peer, new_elements(ask_token(peer)))
        assert endpoint.live_calls == UNAUTHENTICATED_MAX == 512
        assert endpoint.dropped["too many unauthenticated calls"] == 2

    def test_it_has_room_for_400_calls_a_second_for_good(self) -> None:
        endpoint, up = Endpoint(entropy=Random(1).randbytes), list[Call]()
        for second in range(int(LINGER_S + CALL_NUMBER_QUARANTINE_S) + 5):
            now = START + second
            endpoint.handle_timeout(now)
            for call in up:
                call.hang_up(now)
            up = [endpoint.place_call(call_profile(), PEER, now) for _ in range(400)]
        assert endpoint.call_numbers_taken < CALL_NUMBER_MAX - 1

    def test_an_endpoint_that_is_full_takes_no_more(self) -> None:
        peer = taker()
        for _ in range(CALLS_MAX):
            peer.endpoint.place_call(call_profile(), PEER, START)
        send_new(Peer(peer.endpoint, address=PEER), new_elements(ask_token(peer)))
        assert peer.endpoint.dropped["too many calls"] == 1
        with pytest.raises(LocalProtocolError):
            peer.endpoint.place_call(call_profile(), PEER, START)
        assert peer.endpoint.call_numbers_leaked == 0


class TestOutsideACall:
    def test_a_poke_is_answered(self) -> None:
        peer = taker()
        peer.now += 3
        question = peer.put(peer.frame(FrameType.IAX, IaxSubclass.POKE))
        (pong,) = peer.got(IaxSubclass.PONG)
        assert pong.frame.timestamp_ms == peer.elapsed_ms == 3000
        assert pong.frame.source_call_number == 1
        assert len(pong.datagram) <= len(question)

    @pytest.mark.parametrize("destination", [0, 1])
    @pytest.mark.parametrize(
        "subclass", [IaxSubclass.ACK, IaxSubclass.REGAUTH, IaxSubclass.HANGUP, IaxSubclass.INVAL]
    )
    def test_all_else_is_dropped(self, destination: int, subclass: IaxSubclass) -> None:
        peer = taker()
        peer.put(replace(peer.frame(FrameType.IAX, subclass), destination_call_number=destination))
        assert not peer.received
        assert dropped(peer) == {"outside a call": 1}

    def test_what_is_no_iax_frame_is_malformed(self) -> None:
        peer = taker()
        peer.put(peer.frame(FrameType.CONTROL, 4))
        assert dropped(peer) == {"malformed": 1}

    @pytest.mark.parametrize("octets", range(1, 12))
    def test_what_is_shorter_than_a_header_is_malformed(self, octets: int) -> None:
        peer = taker()
        peer.inject(b"\x80" * octets)
        assert dropped(peer) == {"malformed": 1}

    @pytest.mark.parametrize("datagram", [b"", b"\0", bytes(4), b"\0\x4d" + bytes(162)])
    def test_voice_of_no_call_and_meta_frames_are_dropped(self, datagram: bytes) -> None:
        peer = taker()
        peer.inject(datagram)
        assert dropped(peer) == {"no such call": 1}


class TestRouting:
    def test_a_frame_from_another_address_reaches_no_call(self) -> None:
        peer, call = caller_in(State.UP)
        hangup = peer.seal(peer.frame(FrameType.IAX, IaxSubclass.HANGUP).encode())
        peer.inject(hangup, STRANGER)
        assert call.state is State.UP
        assert dropped(peer) == {"no such call": 1}

    def test_a_frame_for_no_call_is_dropped(self) -> None:
        peer, call = caller_in(State.UP)
        other = call.call_number % 32_000 + 5
        peer.put(replace(peer.frame(FrameType.CNG, 0), destination_call_number=other))
        assert dropped(peer) == {"no such call": 1}

    def test_a_frame_from_another_call_number_reaches_no_call(self) -> None:
        peer, call = caller_in(State.UP)
        peer.put(replace(peer.frame(FrameType.IAX, IaxSubclass.HANGUP), source_call_number=78))
        assert call.state is State.UP
        assert dropped(peer) == {"another call number": 1}

    def test_calls_of_one_peer_do_not_mix(self) -> None:
        pair = Pair()
        legs = [pair.answered() for _ in range(20)]
        for number, (call, _) in enumerate(legs):
            for _ in range(number):
                call.send_cng(pair.now)
            call.send_voice(bytes([number]) * 160, 0, pair.now)
        pair.exchange()
        for number, (_, far_call) in enumerate(legs):
            assert far_call.voice is not None
            assert far_call.voice.received == 1
            assert far_call.statistics.received_encrypted == 3 + number + 1


class TestBookkeeping:
    def test_deadlines_are_served_in_their_order_and_only_when_due(self) -> None:
        peer = Peer(Endpoint(entropy=Random(1).randbytes))
        first = peer.endpoint.place_call(call_profile(), PEER, START)
        second = peer.endpoint.place_call(call_profile(), PEER, START + 0.2)
        assert peer.endpoint.next_timeout() == START + 0.5
        peer.endpoint.handle_timeout(START + 0.4)
        peer.take()
        assert len(peer.received) == 2
        first.hang_up(START + 0.45)
        peer.endpoint.handle_timeout(START + 0.6)
        assert peer.endpoint.next_timeout() == START + 0.7
        second.hang_up(START + 0.65)
        assert peer.endpoint.next_timeout() == START + 10.45

    def test_a_number_rests_sixty_seconds_after_the_call_is_forgotten(self) -> None:
        pair = Pair()
        call, _ = pair.answered()
        assert (pair.near.live_calls, pair.near.call_numbers_taken) == (1, 1)
        call.hang_up(pair.now)
        pair.elapse(10)
        assert (pair.near.live_calls, pair.near.call_numbers_taken) == (0, 1)
        assert pair.near.call_numbers_leaked == 0
        pair.elapse(59.9)
        pair.near._numbers.allocate(pair.now)
        assert pair.near.call_numbers_taken == 2
        pair.elapse(0.2)
        pair.near._numbers.allocate(pair.now)
        assert pair.near.call_numbers_taken == 2

    def test_a_call_that_never_was_answered_leaks_nothing(self) -> None:
        pair = Pair(swallow=lambda _sent: True)
        for _ in range(50):
            pair.place()
            pair.elapse(1)
        pair.elapse(120)
        assert pair.near.next_timeout() is None
        assert not pair.near._calls
        assert not pair.near._by_peer
        assert not pair.near._deadlines
        assert pair.near.call_numbers_leaked == 0
        assert len(pair.told(NEAR, CallEnded)) == 50

    def test_deadlines_of_a_busy_call_stay_few(self) -> None:
        pair = Pair()
        call, _ = pair.answered()
        for _ in range(3000):
            call.send_cng(pair.now)
            pair.elapse(0.06)
        assert len(pair.near._deadlines) <= 4
        assert call.state is State.UP

    def test_a_peer_that_hurries_piles_up_no_deadlines(self) -> None:
        peer, call = caller_in(State.UP)
        for _ in range(1000):
            peer.send_iax(IaxSubclass.PING)
        assert len(peer.endpoint._deadlines) <= 4
        peer.elapse(21)
        assert call.state is State.UP
        assert len(peer.got(IaxSubclass.PING)) == 1


def test_what_the_driver_drains_is_empty_afterwards() -> None:
    pair = Pair()
    pair.answered()
    for endpoint in (pair.near, pair.far):
        assert endpoint.poll_transmit() is None
        assert endpoint.poll_event() is None
        assert not endpoint.has_news
    assert pair.events[NEAR]
    assert pair.events[FAR]


def test_there_is_news_as_long_as_something_can_be_polled() -> None:
    pair = Pair()
    call, _ = pair.answered()
    call.hang_up(pair.now)
    assert pair.near.has_news
    assert pair.near.poll_transmit() is not None
    assert pair.near.has_news
    assert pair.near.poll_event() is not None
    assert not pair.near.has_news
    qualifier = pair.near.peers.qualify("hq", pair.now)
    qualifier.move_to(FAR, pair.now)
    pair.exchange()
    assert pair.near.has_news
    assert pair.near.peers.poll_event() is not None
    assert not pair.near.has_news
