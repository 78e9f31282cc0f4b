"""What a link's peer is, where it is and what the log says of it: each change once."""

from collections.abc import Iterator, MutableMapping
from random import Random
from typing import Any

import pytest
from structlog.testing import capture_logs

from bridge.bridging.link import Link
from bridge.bridging.link_peers import LinkPeers
from bridge.iax2 import (
    Address,
    Endpoint,
    Qualification,
    Reachability,
    ReachabilityChanged,
    Registered,
    RegistrantMoved,
    RegistrantRefused,
    RegistrationChanged,
    RegistrationSeen,
)
from tests.lab.bridged_calls import ENVELOPE
from tests.lab.iax2_pair import call_profile
from tests.lab.iax2_registry import Registry
from tests.lab.iax2_wire import START

HQ: Address = ("192.0.2.9", 4569)
Entries = list[MutableMapping[str, Any]]


@pytest.fixture
def link() -> Link:
    return Link("hq", call_profile(), ENVELOPE)


@pytest.fixture
def entries() -> Iterator[Entries]:
    with capture_logs() as captured:
        yield captured


def told(reachability: Reachability, last_rtt_s: float | None = None) -> ReachabilityChanged:
    return ReachabilityChanged("hq", Qualification(reachability, START, last_rtt_s, last_rtt_s))


def test_a_peer_that_moves_is_called_and_poked_there(link: Link) -> None:
    endpoint = Endpoint(entropy=Random(1).randbytes)
    link.qualifier = endpoint.peers.qualify("hq", START)
    LinkPeers({"hq": link}).move("hq", HQ, START)
    assert link.address == HQ
    poke = endpoint.poll_transmit()
    assert poke is not None
    assert poke.address == HQ
    assert link.qualification == Qualification(pokes=1)


def test_one_that_is_not_qualified_is_called_all_the_same(link: Link) -> None:
    peers = LinkPeers({"hq": link})
    peers.move("hq", HQ, START)
    assert link.address == HQ
    assert link.qualification is None
    peers.move("hq", None, START)
    assert link.address is None


def test_a_reachable_peer_is_no_warning(link: Link, entries: Entries) -> None:
    event = told(Reachability.REACHABLE, 0.0234)
    LinkPeers({"hq": link}).handle_event(event, START)
    assert entries == [
        {"event": "the peer is reachable", "log_level": "info", "link": "hq", "last_rtt_ms": 23}
    ]


def test_a_silent_peer_is_one(link: Link, entries: Entries) -> None:
    peers = LinkPeers({"hq": link})
    peers.handle_event(told(Reachability.UNREACHABLE), START + 7.5)
    peers.handle_event(told(Reachability.UNREACHABLE, 0.02), START + 7.5)
    expected = {
        "event": "the peer is unreachable",
        "log_level": "warning",
        "link": "hq",
        "silent_s": 8,
    }
    assert entries == [expected, {**expected, "last_rtt_ms": 20}]


def test_a_late_peer_is_one(link: Link, entries: Entries) -> None:
    event = told(Reachability.LATE, 2.5)
    LinkPeers({"hq": link}).handle_event(event, START)
    assert entries[0]["log_level"] == "warning"
    assert entries[0]["last_rtt_ms"] == 2500


@pytest.mark.parametrize(
    ("registered", "level", "text"),
    [
        (Registered.REGISTERED, "info", "registered with the peer"),
        (Registered.REFUSED, "warning", "the peer refuses to register us"),
        (Registered.LOST, "warning", "the peer does not answer our registration"),
        (Registered.RELEASED, "info", "our registration is released"),
    ],
)
def test_how_our_registration_goes(
    link: Link, entries: Entries, registered: Registered, level: str, text: str
) -> None:
    event = RegistrationChanged("hq", RegistrationSeen(registered, START))
    LinkPeers({"hq": link}).handle_event(event, START)
    assert entries == [{"event": text, "log_level": level, "link": "hq"}]


def test_a_refusal_tells_its_cause(link: Link, entries: Entries) -> None:
    event = RegistrationChanged("hq", RegistrationSeen(Registered.REFUSED, START, cause=29))
    LinkPeers({"hq": link}).handle_event(event, START)
    assert entries[0]["cause"] == 29


def test_a_peer_that_registers_is_called_and_poked_where_it_did(
    link: Link, entries: Entries
) -> None:
    endpoint = Endpoint(entropy=Random(1).randbytes)
    link.qualifier = endpoint.peers.qualify("hq", START)
    peers = LinkPeers({"hq": link})
    peers.handle_event(RegistrantMoved("hq", HQ), START)
    poke = endpoint.poll_transmit()
    assert poke is not None
    assert link.address == poke.address == HQ
    peers.handle_event(RegistrantMoved("hq", None), START + 70)
    assert link.address is None
    assert entries == [
        {
            "event": "the peer has registered",
            "log_level": "info",
            "link": "hq",
            "host": HQ[0],
            "port": HQ[1],
        },
        {"event": "the peer is not registered any more", "log_level": "warning", "link": "hq"},
    ]


def test_a_refused_registration_of_a_peer_is_a_warning(link: Link, entries: Entries) -> None:
    LinkPeers({"hq": link}).handle_event(RegistrantRefused("hq"), START)
    assert entries == [
        {
            "event": "a registration as the peer had another secret",
            "log_level": "warning",
            "link": "hq",
        }
    ]


def test_registrations_that_stand_are_released() -> None:
    registry = Registry()
    link = Link("hq", call_profile(), ENVELOPE, registration=registry.registration)
    peers = LinkPeers({"hq": link, "spare": Link("spare", call_profile(), ENVELOPE)})
    registry.begin()
    assert peers.releasing == 0
    peers.release(registry.now)
    assert peers.releasing == 1
    registry.exchange()
    assert peers.releasing == 0
    assert registry.registration.seen.registered is Registered.RELEASED
