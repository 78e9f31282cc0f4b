from dataclasses import replace

import pytest

from bridge.iax2.auth import Address
from bridge.iax2.constants import Format
from bridge.media.remote import RemoteMedia, SymmetricLatch

SIGNALLING = "192.0.2.7"
DIRECT = RemoteMedia(SIGNALLING, 4000, SIGNALLING, payload_type=0, format=Format.ULAW)
BEHIND_NAT = replace(DIRECT, host="10.0.0.7")


def negotiated(remote: RemoteMedia) -> SymmetricLatch:
    latch = SymmetricLatch()
    latch.negotiate(remote)
    return latch


def test_nobody_is_heard_or_sent_to_before_a_negotiation() -> None:
    latch = SymmetricLatch()
    assert not latch.accept((SIGNALLING, 4000))
    assert latch.destination is None
    assert latch.rtcp_destination is None


def test_source_of_the_sip_is_sent_to_at_once() -> None:
    latch = negotiated(DIRECT)
    assert latch.destination == (SIGNALLING, 4000)
    assert latch.rtcp_destination == (SIGNALLING, 4001)


def test_another_host_is_not_sent_to_before_a_packet_came_from_it() -> None:
    latch = negotiated(BEHIND_NAT)
    assert latch.destination is None
    assert latch.rtcp_destination is None
    assert latch.accept(("10.0.0.7", 4000))
    assert latch.destination == ("10.0.0.7", 4000)


@pytest.mark.parametrize("source", [("10.0.0.7", 4000), ("10.0.0.7", 9), (SIGNALLING, 61000)])
def test_first_packet_of_either_host_latches(source: tuple[str, int]) -> None:
    latch = negotiated(BEHIND_NAT)
    assert latch.accept(source)
    assert latch.source == latch.destination == source
    assert latch.rtcp_destination == (source[0], source[1] + 1)


def test_latched_once() -> None:
    latch = negotiated(DIRECT)
    assert latch.accept((SIGNALLING, 61000))
    assert not latch.accept((SIGNALLING, 61001))
    assert latch.source == (SIGNALLING, 61000)


def test_stranger_does_not_latch() -> None:
    latch = negotiated(DIRECT)
    assert not latch.accept(("198.51.100.9", 4000))
    assert latch.destination == (SIGNALLING, 4000)


def test_new_negotiation_latches_anew() -> None:
    latch = negotiated(DIRECT)
    latch.accept((SIGNALLING, 61000))
    latch.negotiate(replace(DIRECT, port=5000))
    assert latch.destination == (SIGNALLING, 5000)
    assert latch.accept((SIGNALLING, 5002))
    assert latch.source == (SIGNALLING, 5002)


def test_phone_that_did_not_move_hears_us_through_hold_and_resume() -> None:
    latch = negotiated(BEHIND_NAT)
    latch.accept((SIGNALLING, 61000))
    latch.negotiate(replace(BEHIND_NAT, receives=False))
    assert latch.destination is None
    latch.negotiate(BEHIND_NAT)
    assert latch.destination == (SIGNALLING, 61000)
    assert latch.source is None


def test_phone_that_moves_behind_its_nat_must_prove_it() -> None:
    latch = negotiated(BEHIND_NAT)
    latch.accept((SIGNALLING, 61000))
    latch.negotiate(replace(BEHIND_NAT, host="10.0.0.8"))
    assert latch.destination is None


def test_held_phone_is_heard_but_not_sent_to() -> None:
    latch = negotiated(replace(DIRECT, receives=False))
    assert latch.destination is None
    assert latch.accept((SIGNALLING, 4000))
    assert latch.destination is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "phone.example.net", ""])
def test_host_that_is_no_address_of_a_phone(host: str) -> None:
    latch = negotiated(replace(DIRECT, host=host))
    assert latch.destination is None
    assert not latch.accept(("0.0.0.0", 4000))
    assert latch.accept((SIGNALLING, 61000))


def test_port_0_is_not_sent_to() -> None:
    assert negotiated(replace(DIRECT, port=0)).destination is None


def test_ipv6_addresses_are_compared_as_sockets_write_them() -> None:
    latch = negotiated(replace(DIRECT, host="2001:0DB8::0:1", signalling_host="2001:db8::1%eth0"))
    before: Address | None = latch.destination
    assert before == ("2001:db8::1", 4000)
    assert latch.accept(("2001:db8::1", 4000, 0, 3))
    assert latch.destination == ("2001:db8::1", 4000, 0, 3)
    assert latch.rtcp_destination == ("2001:db8::1", 4001, 0, 3)


def test_rtcp_port_of_the_sdp_counts_while_the_phone_is_where_its_sdp_says() -> None:
    remote = replace(DIRECT, rtcp_port=7000)
    latch = negotiated(remote)
    assert latch.rtcp_destination == (SIGNALLING, 7000)
    latch.accept((SIGNALLING, 61000))
    assert latch.rtcp_destination == (SIGNALLING, 61001)


def test_reports_come_from_the_host_that_was_latched_to() -> None:
    latch = negotiated(DIRECT)
    assert not latch.may_report((SIGNALLING, 9))
    latch.accept((SIGNALLING, 4000))
    assert not latch.may_report(("198.51.100.9", 4001))
    assert latch.may_report((SIGNALLING, 61003))


def test_highest_port_has_no_rtcp() -> None:
    latch = negotiated(replace(DIRECT, port=65535))
    assert latch.destination == (SIGNALLING, 65535)
    assert latch.rtcp_destination is None
