"""Our registration with a peer: made, renewed, lost, refused, released."""

from random import Random

import pytest

from bridge.iax2 import (
    Cause,
    Endpoint,
    Registered,
    Registration,
    RegistrationChanged,
    RegistrationProfile,
)
from bridge.iax2.call_numbers import CallNumbers
from bridge.iax2.constants import ElementType, FrameType, IaxSubclass
from bridge.iax2.elements import ElementValue, InformationElements, parse_elements_untrusted
from bridge.iax2.errors import LocalProtocolError
from bridge.iax2.frames import FullFrame
from tests.lab.iax2_pair import FAR, NEAR, START
from tests.lab.iax2_peer import PEER, STRANGER, Peer
from tests.lab.iax2_registry import REGISTER_NAME, REGISTER_SECRET, Registry

REGISTERED = [
    IaxSubclass.REGREQ,
    IaxSubclass.CALLTOKEN,
    IaxSubclass.REGREQ,
    IaxSubclass.REGAUTH,
    IaxSubclass.REGREQ,
    IaxSubclass.REGACK,
    IaxSubclass.ACK,
]
PROFILE = RegistrationProfile("reguser", b"regsecret")


def told(registry: Registry) -> list[Registered]:
    return [event.seen.registered for event in registry.told(NEAR, RegistrationChanged)]


def lose_all(registry: Registry) -> None:
    registry.swallow = lambda _passed: True


def lose_nothing(registry: Registry) -> None:
    registry.swallow = lambda _passed: False


class TestRegistering:
    def test_it_takes_seven_frames(self) -> None:
        registry = Registry().begin()
        assert registry.passed() == REGISTERED
        (event,) = registry.told(NEAR, RegistrationChanged)
        assert event.peer == "hq"
        assert event.seen == registry.registration.seen
        assert event.seen.registered is Registered.REGISTERED
        assert (event.seen.since, event.seen.expires_at) == (START, START + 60)
        assert not registry.registration.is_busy

    def test_the_secret_is_on_no_wire_and_in_no_repr(self) -> None:
        registry = Registry().begin()
        for passed in registry.wire:
            assert REGISTER_SECRET not in passed.frame.encode()
        assert "secret" not in repr(RegistrationProfile("a", REGISTER_SECRET))

    def test_it_is_renewed_before_it_expires_and_told_once(self) -> None:
        registry = Registry().begin()
        registry.elapse(200)
        assert registry.tried_at() == [0, 45, 90, 135, 180]
        assert told(registry) == [Registered.REGISTERED]
        assert registry.registration.seen.expires_at == START + 180 + 60

    def test_the_registrars_refresh_counts(self) -> None:
        registry = Registry(refresh_s=3600).begin()
        assert registry.registration.seen.expires_at == START + 300
        registry.elapse(226)
        assert registry.tried_at() == [0, 225]

    def test_each_try_has_a_call_number_of_its_own(self) -> None:
        registry = Registry().begin()
        registry.elapse(50)
        numbers = {p.frame.source_call_number for p in registry.wire if p.source == NEAR}
        assert len(numbers) == 2
        assert registry.near.call_numbers_leaked == registry.far.call_numbers_leaked == 0

    def test_without_an_address_nothing_is_sent(self) -> None:
        registry = Registry()
        registry.elapse(100)
        assert not registry.wire

    @pytest.mark.parametrize("lost", range(7))
    def test_any_frame_may_be_lost_once(self, lost: int) -> None:
        registry = Registry()
        registry.swallow = lambda passed: registry.wire.index(passed) == lost
        registry.begin().elapse(4)
        assert told(registry) == [Registered.REGISTERED]
        assert registry.tried_at() == [0]

    def test_any_two_frames_of_three_may_be_lost(self) -> None:
        for seed in range(40):
            registry, random = Registry(), Random(seed)
            registry.swallow = lambda _passed, random=random: random.random() < 0.3  # type: ignore[misc]
            registry.begin().elapse(60)
            assert told(registry)[-1] is Registered.REGISTERED, seed
            lose_nothing(registry)
            registry.elapse(120)
            assert registry.registration.seen.tries_failed == 0
            assert registry.near.call_numbers_leaked == 0


class TestLost:
    def test_a_registrar_that_is_silent_is_tried_ever_later(self) -> None:
        registry = Registry()
        lose_all(registry)
        registry.begin().elapse(400)
        # 5 s each, then 2, 4, 8, 16, 32, 60, 60 ... s.
        assert registry.tried_at() == [0, 7, 16, 29, 50, 87, 152, 217, 282, 347]
        assert told(registry) == [Registered.LOST]
        assert registry.registration.seen.tries_failed == 10
        assert registry.near.call_numbers_leaked == 0

    def test_requests_are_sent_again_each_second(self) -> None:
        registry = Registry()
        lose_all(registry)
        registry.begin().elapse(4.9)
        assert [round(p.at - START, 1) for p in registry.wire] == [0, 0.5, 1.5, 2.5, 3.5, 4.5]
        assert [p.frame.retransmission for p in registry.wire] == [False] + 5 * [True]

    def test_a_registration_holds_until_it_expires(self) -> None:
        registry = Registry().begin()
        lose_all(registry)
        registry.elapse(59.9)
        assert registry.registration.seen.registered is Registered.REGISTERED
        assert registry.registration.seen.tries_failed == 2
        registry.elapse(0.2)
        assert told(registry) == [Registered.REGISTERED, Registered.LOST]
        seen = registry.registration.seen
        assert (seen.since, seen.expires_at, seen.tries_failed) == (START + 60, None, 2)

    def test_it_comes_back(self) -> None:
        registry = Registry().begin()
        lose_all(registry)
        registry.elapse(100)
        lose_nothing(registry)
        registry.elapse(60)
        assert told(registry) == [Registered.REGISTERED, Registered.LOST, Registered.REGISTERED]
        assert registry.registration.seen.tries_failed == 0

    def test_a_registrar_that_has_restarted_is_no_trouble(self) -> None:
        registry = Registry().begin()
        registry.elapse(10)
        registry.start_far()
        registry.elapse(40)
        assert told(registry) == [Registered.REGISTERED]
        assert registry.far.peers.registrar.bindings[REGISTER_NAME].seen.address == NEAR

    def test_one_that_restarts_in_the_middle_disowns_the_request(self) -> None:
        registry = Registry()
        registry.swallow = lambda passed: passed.subclass == IaxSubclass.REGAUTH
        registry.begin()
        registry.start_far()
        lose_nothing(registry)
        registry.near.receive_datagram(
            FullFrame(
                5, registry.wire[0].frame.source_call_number, 0, 0, 0, FrameType.IAX, 10
            ).encode(),
            FAR,
            registry.now,
        )
        registry.elapse(0.1)
        assert told(registry) == [Registered.LOST]
        registry.elapse(2)
        assert told(registry) == [Registered.LOST, Registered.REGISTERED]

    def test_without_a_call_number_it_is_tried_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        registry = Registry()

        def refuse(_self: CallNumbers, _now: float) -> int:
            raise LocalProtocolError("no IAX2 call number is free")

        with monkeypatch.context() as patch:
            patch.setattr(CallNumbers, "allocate", refuse)
            registry.begin()
        assert told(registry) == [Registered.LOST]
        registry.elapse(2.1)
        assert told(registry) == [Registered.LOST, Registered.REGISTERED]


class TestRefused:
    def test_a_wrong_secret_is_told_and_tried_ever_later(self) -> None:
        registry = Registry(secret=b"another").begin()
        registry.elapse(1000)
        assert registry.tried_at() == [0, 10, 30, 70, 150, 310, 610, 910]
        assert told(registry) == [Registered.REFUSED]
        seen = registry.registration.seen
        assert (seen.since, seen.expires_at, seen.cause) == (START, None, Cause.FACILITY_REJECTED)

    def test_a_registration_that_is_refused_later_is_over(self) -> None:
        registry = Registry().begin()
        registry.registration._profile = RegistrationProfile(REGISTER_NAME, b"another")
        registry.elapse(46)
        assert told(registry) == [Registered.REGISTERED, Registered.REFUSED]


class TestMoving:
    def test_the_same_address_changes_nothing(self) -> None:
        registry = Registry().begin()
        registry.registration.move_to(FAR, registry.now)
        registry.exchange()
        assert registry.passed() == REGISTERED

    def test_another_address_is_registered_with_at_once(self) -> None:
        registry = Registry().begin()
        registry.elapse(10)
        registry.registration.move_to(STRANGER, registry.now)
        assert registry.registration.seen.registered is Registered.NOT_YET
        assert registry.registration.is_busy
        transmit = registry.near.poll_transmit()
        assert transmit is not None
        assert transmit.address == STRANGER

    def test_in_the_middle_of_a_try_that_is_left(self) -> None:
        registry = Registry()
        lose_all(registry)
        registry.begin().elapse(1)
        registry.registration.move_to(STRANGER, registry.now)
        assert len(registry.near.peers) == 1
        assert registry.near.call_numbers_leaked == 0

    def test_a_lost_address_ends_it(self) -> None:
        registry = Registry().begin()
        registry.registration.move_to(None, registry.now)
        registry.elapse(200)
        assert registry.passed() == REGISTERED
        assert registry.registration.seen.registered is Registered.NOT_YET


class TestReleasing:
    def test_the_registrar_forgets_us(self) -> None:
        registry = Registry().begin()
        registry.registration.release(registry.now)
        registry.exchange()
        assert IaxSubclass.REGREL in registry.passed()
        assert told(registry) == [Registered.REGISTERED, Registered.RELEASED]
        assert registry.far.peers.registrar.bindings[REGISTER_NAME].seen.address is None
        registry.elapse(200)
        assert registry.passed().count(IaxSubclass.REGREL) == 3
        assert registry.passed().count(IaxSubclass.REGREQ) == 3

    def test_nothing_is_registered_any_more(self) -> None:
        registry = Registry().begin()
        registry.registration.release(registry.now)
        registry.exchange()
        passed = len(registry.wire)
        registry.registration.move_to(STRANGER, registry.now)
        registry.elapse(100)
        assert len(registry.wire) == passed

    def test_who_is_not_registered_has_nothing_to_release(self) -> None:
        registry = Registry()
        lose_all(registry)
        registry.begin().elapse(1)
        registry.registration.release(registry.now)
        registry.elapse(100)
        assert IaxSubclass.REGREL not in registry.passed()
        assert not registry.registration.is_busy

    def test_a_silent_registrar_is_not_waited_for_longer_than_five_seconds(self) -> None:
        registry = Registry().begin()
        lose_all(registry)
        registry.registration.release(registry.now)
        registry.elapse(4.9)
        assert registry.registration.is_busy
        registry.elapse(0.2)
        assert not registry.registration.is_busy
        assert told(registry)[-1] is Registered.LOST


class Written:
    """A registrar that a test writes frame by frame."""

    def __init__(self) -> None:
        self.peer = Peer(Endpoint(entropy=Random(1).randbytes))
        self.registration: Registration = self.peer.endpoint.peers.register("hq", PROFILE)
        self.registration.move_to(PEER, START)
        self.peer.take()
        self.peer.iseqno = 1

    @property
    def asked(self) -> FullFrame:
        """Our newest request."""
        return self.peer.received[-1].frame

    def say(
        self,
        subclass: int,
        *elements: tuple[int, ElementValue],
        source: int = 9406,
        oseqno: int | None = None,
    ) -> None:
        number = self.peer.received[0].frame.source_call_number
        self.peer.other_call_number, self.peer.call_number = number, source
        frame = self.peer.frame(FrameType.IAX, subclass, InformationElements.of(*elements).encode())
        if oseqno is not None:
            self.peer.oseqno = oseqno
        self.peer.send(FrameType.IAX, frame.subclass, frame.data)

    def challenge(self) -> None:
        self.say(
            IaxSubclass.REGAUTH,
            (ElementType.AUTHMETHODS, (2, 2)),
            (ElementType.CHALLENGE, "194352043"),
            (ElementType.USERNAME, "reguser"),
        )

    @property
    def registered(self) -> Registered:
        return self.registration.seen.registered


class TestAsAsteriskDoesIt:
    """The frames of a captured registration between two Asterisks."""

    def test_the_frames_are_the_same(self) -> None:
        written = Written()
        assert parse_elements_untrusted(written.asked.data).pairs == (
            (ElementType.USERNAME, b"reguser"),
            (ElementType.REFRESH, b"\x00\x3c"),
            (ElementType.CALLTOKEN, b""),
        )
        token = b"1795412490?fd11869e7fbc763be47acc5207a23eae3c1e0c89"
        written.say(IaxSubclass.CALLTOKEN, (ElementType.CALLTOKEN, token), source=1)
        again = written.asked
        assert (again.oseqno, again.iseqno, again.destination_call_number) == (0, 0, 0)
        assert parse_elements_untrusted(again.data).get(ElementType.CALLTOKEN) == token
        written.challenge()
        proof = written.asked
        assert (proof.oseqno, proof.iseqno, proof.destination_call_number) == (1, 1, 9406)
        assert parse_elements_untrusted(proof.data).pairs == (
            (ElementType.USERNAME, b"reguser"),
            (ElementType.REFRESH, b"\x00\x3c"),
            (ElementType.MD5_RESULT, b"69cbba4e7aebc0c51e99cfc0b53f57cc"),
        )
        written.peer.iseqno = 2
        written.say(IaxSubclass.REGACK, (ElementType.REFRESH, (120, 2)))
        ack = written.asked
        assert (ack.subclass, ack.oseqno, ack.iseqno) == (IaxSubclass.ACK, 2, 2)
        assert written.registered is Registered.REGISTERED
        assert written.registration.seen.expires_at == START + 120

    def test_an_acknowledgement_before_the_challenge(self) -> None:
        """Asterisk sends one where it delays refusals."""
        written = Written()
        written.say(IaxSubclass.ACK)
        written.peer.elapse(1)
        assert len(written.peer.received) == 1
        written.challenge()
        assert written.asked.oseqno == 1

    def test_a_refusal_without_a_call(self) -> None:
        written = Written()
        written.say(IaxSubclass.REGREJ, source=1)
        assert written.registered is Registered.REFUSED
        assert written.registration.seen.cause is None

    @pytest.mark.parametrize(
        ("said", "refresh_s"), [((), 60), (((ElementType.REFRESH, (1, 2)),), 10)]
    )
    def test_a_refresh_that_is_missing_or_too_short(
        self, said: tuple[tuple[int, ElementValue], ...], refresh_s: int
    ) -> None:
        written = Written()
        written.say(IaxSubclass.REGACK, *said)
        assert written.registration.seen.expires_at == START + refresh_s

    def test_a_refresh_that_is_too_long(self) -> None:
        written = Written()
        written.say(IaxSubclass.REGACK, (ElementType.REFRESH, (65535, 2)))
        assert written.registration.seen.expires_at == START + 3600


class TestHostile:
    @pytest.mark.parametrize(
        ("methods", "challenge"), [(1, "123"), (4, "123"), (0, "123"), (2, ""), (2, "1" * 65)]
    )
    def test_no_proof_but_one_by_md5_is_given(self, methods: int, challenge: str) -> None:
        written = Written()
        written.say(
            IaxSubclass.REGAUTH,
            (ElementType.AUTHMETHODS, (methods, 2)),
            (ElementType.CHALLENGE, challenge),
        )
        assert written.asked.subclass == IaxSubclass.ACK
        assert written.registered is Registered.REFUSED
        assert written.registration.seen.cause == Cause.FACILITY_NOT_IMPLEMENTED

    def test_without_methods_or_challenge_no_proof_is_given(self) -> None:
        written = Written()
        written.say(IaxSubclass.REGAUTH)
        assert written.registered is Registered.REFUSED

    def test_a_challenge_of_our_own_is_not_answered(self) -> None:
        written = Written()
        ours = written.peer.endpoint.issued.issue(Random(3).randbytes, START)
        written.say(
            IaxSubclass.REGAUTH, (ElementType.AUTHMETHODS, (2, 2)), (ElementType.CHALLENGE, ours)
        )
        assert len(written.peer.got(IaxSubclass.REGREQ)) == 1
        assert written.registered is Registered.REFUSED

    def test_a_second_challenge_is_not_answered(self) -> None:
        written = Written()
        written.challenge()
        written.peer.iseqno = 2
        written.challenge()
        assert written.asked.subclass == IaxSubclass.ACK
        requests = written.peer.got(IaxSubclass.REGREQ)
        assert len(requests) == 2

    def test_a_second_token_and_an_empty_one_are_not_taken(self) -> None:
        written = Written()
        written.say(IaxSubclass.CALLTOKEN, source=1)
        assert len(written.peer.received) == 1
        for _ in range(3):
            written.say(IaxSubclass.CALLTOKEN, (ElementType.CALLTOKEN, b"t"), source=1)
        assert len(written.peer.received) == 2
        assert written.peer.endpoint.dropped == {"malformed": 3}

    def test_a_frame_that_is_ahead_or_behind_changes_nothing(self) -> None:
        written = Written()
        written.say(IaxSubclass.REGREJ, oseqno=3)
        assert written.registered is Registered.NOT_YET
        assert len(written.peer.received) == 1
        written.peer.oseqno = 0
        written.challenge()
        written.say(IaxSubclass.REGREJ, oseqno=0)
        assert written.asked.subclass == IaxSubclass.ACK
        assert written.registered is Registered.NOT_YET

    def test_what_does_not_belong_to_a_registration_is_acknowledged_alone(self) -> None:
        written = Written()
        written.say(IaxSubclass.PING)
        assert written.asked.subclass == IaxSubclass.ACK
        assert written.registered is Registered.NOT_YET

    def test_a_vnak_brings_the_request_again(self) -> None:
        written = Written()
        written.peer.iseqno = 0
        written.say(IaxSubclass.VNAK)
        assert written.asked.retransmission
        assert written.asked.subclass == IaxSubclass.REGREQ

    def test_a_frame_of_another_dialog_or_type_is_malformed(self) -> None:
        written = Written()
        written.challenge()
        written.say(IaxSubclass.REGACK, source=9407)
        assert written.registered is Registered.NOT_YET
        written.peer.call_number = 9406
        written.peer.send(FrameType.CONTROL, 4)
        written.peer.put(FullFrame(9406, written.peer.other_call_number, 0, 1, 2, 6, 15, b"\x06"))
        written.peer.inject(b"\x80\x00" + written.peer.other_call_number.to_bytes(2, "big") * 5)
        assert written.peer.endpoint.dropped == {"malformed": 4}

    def test_from_another_address_nothing_is_believed(self) -> None:
        written = Written()
        number = written.peer.received[0].frame.source_call_number
        refusal = FullFrame(1, number, 0, 0, 1, FrameType.IAX, IaxSubclass.REGREJ)
        written.peer.inject(refusal.encode(), STRANGER)
        assert written.registered is Registered.NOT_YET
        assert written.peer.endpoint.dropped == {"no such call": 1}


def test_a_registration_leaves_nothing_behind() -> None:
    registry = Registry().begin()
    registry.elapse(3600)
    # One number in use or at rest for each 45 s, and no other.
    assert registry.near.call_numbers_taken <= 3
    assert len(registry.near._deadlines) <= 64
    assert len(registry.near.peers) == 0
