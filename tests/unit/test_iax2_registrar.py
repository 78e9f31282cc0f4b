"""Peers that register with us: proven, granted, refused alike, forgotten in time."""

from dataclasses import replace
from random import Random

import pytest

from bridge.iax2 import (
    Address,
    Cause,
    Endpoint,
    PeerEvent,
    Registrant,
    RegistrantMoved,
    RegistrantRefused,
    RegistrantSeen,
)
from bridge.iax2.constants import ElementType, FrameType, IaxSubclass
from bridge.iax2.elements import ElementValue, InformationElements
from bridge.iax2.endpoint import CALLS_MAX
from bridge.iax2.registrar import (
    EXCHANGES_MAX,
    EXCHANGES_PER_SOURCE_MAX,
    Registrar,
    apparent_address,
)
from tests.lab.iax2_peer import PEER, STRANGER, Peer, Received
from tests.lab.iax2_registry import REGISTER_NAME, REGISTER_SECRET, Registry
from tests.lab.iax2_wire import FAR, NEAR, START
from tests.vectors.reference import reference_key

IPV6: Address = ("2001:db8::9", 4569, 0, 0)


def registrar() -> Endpoint:
    registrant = Registrant("branch", REGISTER_NAME, REGISTER_SECRET)
    return Endpoint(entropy=Random(6).randbytes, registrants=[registrant])


def seen(endpoint: Endpoint) -> RegistrantSeen:
    return endpoint.peers.registrar.bindings[REGISTER_NAME].seen


def moves(endpoint: Endpoint) -> list[Address | None]:
    return [event.address for event in told(endpoint) if isinstance(event, RegistrantMoved)]


def told(endpoint: Endpoint) -> list[PeerEvent]:
    return list(iter(endpoint.peers.poll_event, None))


def request(
    peer: Peer,
    *elements: tuple[int, ElementValue],
    subclass: int = IaxSubclass.REGREQ,
    username: str = REGISTER_NAME,
    token: bytes = b"",
) -> None:
    """Send a request that begins an exchange, and note what answers."""
    peer.oseqno = peer.iseqno = peer.other_call_number = 0
    before = len(peer.received)
    named = (ElementType.USERNAME, username)
    peer.send_iax(subclass, named, *elements, (ElementType.CALLTOKEN, token))
    for received in peer.received[before:]:
        peer.other_call_number = received.frame.source_call_number


def ask_token(peer: Peer, username: str = REGISTER_NAME) -> bytes:
    request(peer, username=username)
    token = peer.got(IaxSubclass.CALLTOKEN)[-1].elements.get(ElementType.CALLTOKEN)
    assert token is not None
    return token


def begin(peer: Peer, *, username: str = REGISTER_NAME) -> Received:
    """Bring an exchange to the challenge."""
    request(peer, username=username, token=ask_token(peer, username))
    return peer.got(IaxSubclass.REGAUTH)[-1]


def prove(
    peer: Peer,
    secret: bytes = REGISTER_SECRET,
    subclass: int = IaxSubclass.REGREQ,
    refresh_s: int | None = 60,
) -> None:
    question = peer.got(IaxSubclass.REGAUTH)[-1].elements.get(ElementType.CHALLENGE) or b""
    elements: list[tuple[int, ElementValue]] = [(ElementType.USERNAME, REGISTER_NAME)]
    if refresh_s is not None:
        elements.append((ElementType.REFRESH, (refresh_s, 2)))
    peer.send_iax(
        subclass, *elements, (ElementType.MD5_RESULT, reference_key(question, secret).hex())
    )


def acknowledge(peer: Peer) -> None:
    newest = peer.received[-1].frame
    ack = peer.frame(FrameType.IAX, IaxSubclass.ACK)
    peer.put(replace(ack, timestamp_ms=newest.timestamp_ms))


class TestGranted:
    def test_the_peer_is_where_it_registered_from(self) -> None:
        peer = Peer(registrar())
        question = begin(peer)
        assert question.elements.uint(ElementType.AUTHMETHODS, 2) == 2
        assert len(question.elements.get(ElementType.CHALLENGE) or b"") == 32
        assert question.elements.text(ElementType.USERNAME) == REGISTER_NAME
        prove(peer)
        (granted,) = peer.got(IaxSubclass.REGACK)
        assert granted.elements.text(ElementType.USERNAME) == REGISTER_NAME
        assert granted.elements.uint(ElementType.REFRESH, 2) == 60
        assert granted.elements.get(ElementType.APPARENT_ADDR) == apparent_address(PEER)
        assert seen(peer.endpoint) == RegistrantSeen(PEER, START + 70)
        assert moves(peer.endpoint) == [PEER]
        assert len(peer.endpoint.peers) == 1
        acknowledge(peer)
        assert len(peer.endpoint.peers) == 0
        assert peer.endpoint.call_numbers_leaked == 0

    @pytest.mark.parametrize(
        ("asked_s", "granted_s"), [(None, 60), (0, 60), (5, 30), (120, 120), (3600, 300)]
    )
    def test_for_how_long(self, asked_s: int | None, granted_s: int) -> None:
        peer = Peer(registrar())
        begin(peer)
        prove(peer, refresh_s=asked_s)
        (granted,) = peer.got(IaxSubclass.REGACK)
        assert granted.elements.uint(ElementType.REFRESH, 2) == granted_s
        assert seen(peer.endpoint).expires_at == START + granted_s + 10

    def test_the_digits_of_the_proof_may_be_capitals(self) -> None:
        peer = Peer(registrar())
        question = begin(peer).elements.get(ElementType.CHALLENGE) or b""
        proof = reference_key(question, REGISTER_SECRET).hex().upper()
        peer.send_iax(IaxSubclass.REGREQ, (ElementType.MD5_RESULT, proof))
        assert peer.got(IaxSubclass.REGACK)

    def test_a_renewal_is_nothing_to_tell(self) -> None:
        registry = Registry().begin()
        registry.elapse(500)
        assert [e.address for e in registry.told(FAR, RegistrantMoved)] == [NEAR]

    def test_it_may_register_from_somewhere_else(self) -> None:
        endpoint = registrar()
        for address in (PEER, STRANGER, IPV6):
            peer = Peer(endpoint, address=address)
            begin(peer)
            prove(peer)
            acknowledge(peer)
        assert moves(endpoint) == [PEER, STRANGER, IPV6]

    def test_it_expires(self) -> None:
        peer = Peer(registrar())
        begin(peer)
        prove(peer)
        acknowledge(peer)
        peer.elapse(69.9)
        assert seen(peer.endpoint).address == PEER
        peer.elapse(0.2)
        assert seen(peer.endpoint) == RegistrantSeen()
        assert moves(peer.endpoint) == [PEER, None]
        assert peer.endpoint.next_timeout() is None

    def test_it_may_be_released(self) -> None:
        peer = Peer(registrar())
        begin(peer)
        prove(peer)
        acknowledge(peer)
        request(peer, subclass=IaxSubclass.REGREL, token=ask_token(peer))
        prove(peer, subclass=IaxSubclass.REGREL)
        assert seen(peer.endpoint) == RegistrantSeen()
        granted = peer.got(IaxSubclass.REGACK)[-1]
        assert granted.elements.pairs == ((ElementType.USERNAME, REGISTER_NAME.encode()),)
        assert moves(peer.endpoint) == [PEER, None]

    def test_a_grant_that_is_not_acknowledged_is_sent_again_for_a_while(self) -> None:
        peer = Peer(registrar())
        begin(peer)
        prove(peer)
        peer.elapse(20)
        sent_at = [r.at - START for r in peer.got(IaxSubclass.REGACK)]
        assert sent_at == pytest.approx([0, 0.25, *(n + 0.75 for n in range(10))])
        assert len(peer.endpoint.peers) == 0


class TestRefused:
    def test_a_wrong_secret_and_an_unknown_name_are_refused_alike(self) -> None:
        behaviours = []
        for username, secret in ((REGISTER_NAME, b"a guess"), ("branch-9-here", REGISTER_SECRET)):
            peer = Peer(registrar())
            begin(peer, username=username)
            prove(peer, secret)
            peer.elapse(20)
            (first, *_) = peer.got(IaxSubclass.REGREJ)
            assert first.elements.uint(ElementType.CAUSECODE, 1) == Cause.FACILITY_REJECTED
            assert first.elements.text(ElementType.CAUSE) == "Registration Refused"
            assert not moves(peer.endpoint)
            behaviours.append(
                [(r.at, len(r.datagram), r.frame.subclass, r.frame.oseqno) for r in peer.received]
            )
        assert behaviours[0] == behaviours[1]

    @pytest.mark.parametrize("username", [REGISTER_NAME, "branch-9-here"])
    def test_either_costs_the_same_work(
        self, username: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tried = []

        def count(challenge: bytes, secret: bytes) -> bytes:
            tried.append((challenge, secret))
            return b"0" * 32

        monkeypatch.setattr("bridge.iax2.registrar.md5_result", count)
        peer = Peer(registrar())
        begin(peer, username=username)
        prove(peer, b"a guess")
        assert len(tried) == 1

    def test_those_of_a_known_peer_are_counted_and_told_once_until_it_registers(self) -> None:
        peer = Peer(registrar())
        for number, secret in enumerate((b"a guess", b"another", REGISTER_SECRET, b"a third")):
            peer.call_number = 100 + number
            begin(peer)
            prove(peer, secret)
        assert seen(peer.endpoint).refused == 3
        refused, moved = RegistrantRefused("branch"), RegistrantMoved("branch", PEER)
        assert told(peer.endpoint) == [refused, moved, refused]

    def test_without_a_proof(self) -> None:
        peer = Peer(registrar())
        begin(peer)
        peer.send_iax(IaxSubclass.REGREQ, (ElementType.USERNAME, REGISTER_NAME))
        assert peer.got(IaxSubclass.REGREJ)

    def test_there_is_one_guess_for_each_challenge(self) -> None:
        peer = Peer(registrar())
        begin(peer)
        prove(peer, b"a guess")
        prove(peer)
        assert not peer.got(IaxSubclass.REGACK)
        assert seen(peer.endpoint) == RegistrantSeen(refused=1)

    def test_a_guess_keeps_its_place_for_ten_seconds(self) -> None:
        peer = Peer(registrar())
        for number in range(EXCHANGES_PER_SOURCE_MAX + 2):
            peer.call_number = 100 + number
            token = ask_token(peer)
            request(peer, token=token)
            if peer.other_call_number:
                prove(peer, b"a guess")
                acknowledge(peer)
        assert seen(peer.endpoint).refused == EXCHANGES_PER_SOURCE_MAX
        assert peer.endpoint.dropped == {"too many registrations at a time": 2}
        peer.elapse(10.1)
        begin(peer)
        prove(peer)
        assert seen(peer.endpoint).address == PEER

    def test_the_proof_of_an_old_challenge_proves_nothing(self) -> None:
        peer = Peer(registrar())
        begin(peer)
        peer.call_number += 1
        # Its own challenge is forgotten, so the proof is that of the one before.
        peer.received.remove(begin(peer))
        prove(peer)
        assert peer.got(IaxSubclass.REGREJ)

    def test_who_says_nothing_is_forgotten(self) -> None:
        peer = Peer(registrar())
        begin(peer)
        peer.elapse(10.1)
        assert len(peer.endpoint.peers) == 0
        assert not peer.endpoint.peers.registrar._exchanges
        assert peer.endpoint.call_numbers_leaked == 0


class TestBounds:
    def test_without_a_token_nothing_is_kept(self) -> None:
        peer = Peer(registrar())
        question = peer.frame(
            FrameType.IAX,
            IaxSubclass.REGREQ,
            InformationElements.of((ElementType.USERNAME, "abc"), (54, b"")).encode(),
        )
        datagram = peer.put(question)
        assert not peer.received
        request(peer, (ElementType.REFRESH, (60, 2)), username="abc")
        (reply,) = peer.got(IaxSubclass.CALLTOKEN)
        assert len(reply.datagram) <= 1.5 * (len(datagram) + 4)
        assert len(peer.endpoint.peers) == 0
        assert peer.endpoint.call_numbers_taken == 0

    def test_a_false_token_is_not_even_answered(self) -> None:
        peer = Peer(registrar())
        request(peer, token=b"A" * 20)
        assert not peer.received
        assert peer.endpoint.dropped == {"invalid call token": 1}

    def test_a_request_that_comes_again_begins_nothing(self) -> None:
        peer = Peer(registrar())
        token = ask_token(peer)
        for _ in range(5):
            request(peer, token=token)
        assert len(peer.got(IaxSubclass.REGAUTH)) == 1
        assert len(peer.endpoint.peers) == 1

    def test_a_lost_challenge_is_sent_again(self) -> None:
        peer = Peer(registrar())
        begin(peer)
        peer.elapse(3)
        assert len(peer.got(IaxSubclass.REGAUTH)) == 4

    def test_a_network_of_ipv6_addresses_is_one_source(self) -> None:
        endpoint = registrar()
        for host in range(EXCHANGES_PER_SOURCE_MAX + 1):
            peer = Peer(endpoint, address=(f"2001:db8::{host}", 4569, 0, 0))
            request(peer, token=ask_token(peer))
        assert endpoint.dropped == {"too many registrations at a time": 1}
        begin(Peer(endpoint, address=("2001:db8:0:1::9", 4569, 0, 0)))

    def test_there_is_a_limit_for_all_sources(self) -> None:
        endpoint = registrar()
        for host in range(EXCHANGES_MAX + 3):
            peer = Peer(endpoint, address=(f"198.51.{host // 250}.{host % 250}", 4569))
            request(peer, token=ask_token(peer))
        assert len(endpoint.peers) == EXCHANGES_MAX
        assert endpoint.dropped == {"too many registrations at a time": 3}

    def test_without_call_numbers_none_is_taken(self) -> None:
        peer = Peer(registrar())
        token = ask_token(peer)
        numbers = peer.endpoint._numbers
        for _ in range(32_766):
            numbers.allocate(START)
        request(peer, token=token)
        assert peer.endpoint.dropped == {"too many calls": 1}
        assert CALLS_MAX < 32_766

    def test_who_takes_none_says_nothing(self) -> None:
        peer = Peer(Endpoint(entropy=Random(1).randbytes))
        request(peer)
        assert not peer.received
        assert peer.endpoint.dropped == {"no registrations are taken": 1}

    def test_a_secret_is_in_no_repr(self) -> None:
        assert "secret" not in repr(Registrant("branch", REGISTER_NAME, REGISTER_SECRET))


class TestApparentAddress:
    """A Linux sockaddr, as Asterisk puts it on the wire and takes it from there."""

    def test_ipv4(self) -> None:
        captured = bytes.fromhex("020011d97f00000b0000000000000000")
        assert apparent_address(("127.0.0.11", 4569)) == captured

    def test_ipv4_at_a_socket_for_both(self) -> None:
        mapped = ("::ffff:192.0.2.9", 4569, 0, 0)
        assert apparent_address(mapped) == apparent_address(("192.0.2.9", 4569))

    def test_ipv6(self) -> None:
        octets = apparent_address(IPV6)
        assert len(octets) == 28
        assert octets[:4] == bytes.fromhex("0a0011d9")
        assert octets[8:24] == bytes.fromhex("20010db8" + "0" * 23 + "9")


def test_peers_are_known_by_their_usernames() -> None:
    endpoint = Endpoint(
        registrants=[Registrant(f"link-{n}", f"user-{n}", b"secret") for n in range(3)]
    )
    assert isinstance(endpoint.peers.registrar, Registrar)
    assert list(endpoint.peers.registrar.bindings) == ["user-0", "user-1", "user-2"]
