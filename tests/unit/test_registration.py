"""Our registration with a peer: made, renewed, lost, refused, released."""

from random import Random

import pytest

from bridge.iax2 import Cause, Registered, RegistrationChanged, RegistrationProfile
from bridge.iax2.call_numbers import CallNumbers
from bridge.iax2.constants import FrameType, IaxSubclass
from bridge.iax2.deadlines import ABANDONED_MAX
from bridge.iax2.errors import LocalProtocolError
from bridge.iax2.frames import FullFrame
from tests.lab.iax2_peer import STRANGER
from tests.lab.iax2_registry import REGISTER_NAME, REGISTER_SECRET, Registry
from tests.lab.iax2_wire import FAR, NEAR, START

REGISTERED = [
    IaxSubclass.REGREQ,
    IaxSubclass.CALLTOKEN,
    IaxSubclass.REGREQ,
    IaxSubclass.REGAUTH,
    IaxSubclass.REGREQ,
    IaxSubclass.REGACK,
    IaxSubclass.ACK,
]


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


def test_a_registration_leaves_nothing_behind() -> None:
    registry = Registry().begin()
    registry.elapse(3600)
    # One number in use or at rest for each 45 s, and no other.
    assert registry.near.call_numbers_taken <= 3
    assert len(registry.near._deadlines) <= 2 * ABANDONED_MAX
    assert len(registry.near.peers) == 0
