"""SRTP between a phone and the relay: both suites' packets, replay, and what is not authentic."""

import os
import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest
from pylibsrtp import Policy, Session

from bridge.iax2.constants import Format
from bridge.media.call_media import CallMedia
from bridge.media.phone_stream import PhoneStream
from bridge.media.rtcp import build_report
from bridge.media.rtp import RtpPacket, parse_rtp_untrusted
from bridge.media.srtp import SrtpKeys, SrtpSockets, Suite
from tests.lab.relay_calls import Phone, RelayCalls, remote_of, speech

PROFILES = {
    Suite.AES_GCM: Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
    Suite.AES_CM_80: Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
    Suite.AES_CM_32: Policy.SRTP_PROFILE_AES128_CM_SHA1_32,
}
TAG_OCTETS = {Suite.AES_GCM: 16, Suite.AES_CM_80: 10, Suite.AES_CM_32: 4}
REPORT_TAG_OCTETS = {Suite.AES_GCM: 16, Suite.AES_CM_80: 10, Suite.AES_CM_32: 10}


@pytest.fixture
def calls() -> Iterator[RelayCalls]:
    with RelayCalls() as relay_calls:
        yield relay_calls


class SrtpPhone:
    """The other end of a secured call, with libsrtp of its own."""

    def __init__(self, phone: Phone, media: CallMedia, suite: Suite = Suite.AES_CM_80) -> None:
        self.phone, self.media = phone, media
        self.keys = SrtpKeys(suite, os.urandom(suite.key_octets), os.urandom(suite.key_octets))
        self.outbound = self.session(self.keys.remote, Policy.SSRC_ANY_OUTBOUND)
        self.inbound = self.session(self.keys.local, Policy.SSRC_ANY_INBOUND)

    def session(self, key: bytes, direction: int) -> Session:
        return Session(Policy(key, direction, 0, PROFILES[self.keys.suite]))

    def agree(self, media_format: Format = Format.ULAW) -> None:
        self.media.set_remote(replace(remote_of(self.phone, media_format), srtp=self.keys))

    def sealed(self, sequence: int) -> bytes:
        packet = RtpPacket(
            0,
            marker=False,
            sequence=sequence,
            timestamp=sequence * 160,
            ssrc=self.phone.ssrc,
            payload=speech(sequence),
        )
        return self.outbound.protect(packet.encode())

    def send(self, sequence: int) -> None:
        self.phone.send_datagram(self.media, self.sealed(sequence))


@pytest.mark.parametrize("suite", Suite)
def test_audio_both_ways(calls: RelayCalls, suite: Suite) -> None:
    phone, media, far = calls.connected()
    secured = SrtpPhone(phone, media, suite)
    secured.agree()
    for sequence in range(1, 6):
        secured.send(sequence)
        calls.slot()
        assert far.frames[-1].payload == speech(sequence)
    calls.from_link(far, 20, speech(9))
    (datagram,) = phone.received_datagrams()
    assert speech(9) not in datagram
    assert len(datagram) == 172 + TAG_OCTETS[suite]
    assert parse_rtp_untrusted(secured.inbound.unprotect(datagram)).payload == speech(9)


@pytest.mark.parametrize("suite", Suite)
def test_a_frame_that_comes_twice_is_sent_once_and_ends_no_call(
    calls: RelayCalls, suite: Suite
) -> None:
    phone, media, far = calls.connected()
    secured = SrtpPhone(phone, media, suite)
    secured.agree()
    secured.send(1)
    calls.slot()
    for number in (1, 2, 4, 3, 2, 3, 5):
        calls.from_link(far, 20 * number, speech(number))
    heard = [secured.inbound.unprotect(datagram) for datagram in phone.received_datagrams()]
    assert [parse_rtp_untrusted(packet).payload for packet in heard] == [
        speech(number) for number in (1, 2, 4, 3, 5)
    ]
    assert media.counters.send_failed == 2
    assert not calls.failures


def test_a_phone_that_misses_our_first_packets_understands_the_next(calls: RelayCalls) -> None:
    """It knows no wrap of numbers that it did not see (RFC 3711 section 3.3.1)."""
    phone, media, far = calls.connected()
    media.stream = PhoneStream(lambda octets: b"\xff\xfd\xff\xfd"[:octets])
    secured = SrtpPhone(phone, media)
    secured.agree()
    secured.send(1)
    calls.slot()
    for number in range(1, 6):
        calls.from_link(far, 20 * number, speech(number))
    *_, last = phone.received_datagrams()
    assert parse_rtp_untrusted(secured.inbound.unprotect(last)).payload == speech(5)


@pytest.mark.parametrize("suite", Suite)
def test_reports_both_ways(calls: RelayCalls, suite: Suite) -> None:
    phone = calls.phone()
    media = calls.call(phone)
    secured = SrtpPhone(phone, media, suite)
    secured.agree()
    secured.send(1)
    calls.relay.rtp_readable(calls.now)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as rtcp:
        rtcp.bind((phone.host, 0))
        report = secured.outbound.protect_rtcp(build_report(phone.ssrc, "name"))
        rtcp.sendto(report, (phone.host, media.rtp_port + 1))
        media.receive_report(calls.now)
        assert (media.counters.wrong_source, media.counters.malformed) == (0, 0)
        media.send_report(calls.now)
        rtcp.settimeout(1)
        datagram = rtcp.recv(2000)
    opened = secured.inbound.unprotect_rtcp(datagram)
    assert len(datagram) - len(opened) == REPORT_TAG_OCTETS[suite] + 4
    assert opened[1] == 201


def test_a_report_that_is_not_authentic_moves_nothing(calls: RelayCalls) -> None:
    phone = calls.phone()
    media = calls.call(phone)
    secured = SrtpPhone(phone, media, Suite.AES_GCM)
    secured.agree()
    secured.send(1)
    calls.relay.rtp_readable(calls.now)
    before = media.latch.rtcp_destination
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as neighbour:
        neighbour.bind((phone.host, 0))
        neighbour.sendto(build_report(phone.ssrc, "name"), (phone.host, media.rtp_port + 1))
        media.receive_report(calls.now)
    assert media.latch.rtcp_destination == before
    assert media.counters.malformed == 1


def test_our_key_goes_on_where_the_phone_changes_its_own_alone(calls: RelayCalls) -> None:
    """As in its answer to an offer of ours: a count that began anew would encrypt two alike."""
    phone, media, far = calls.connected()
    media.stream._sequence = 0xFFFE
    secured = SrtpPhone(phone, media)
    secured.agree()
    secured.send(1)
    calls.slot()
    for number in (1, 2, 3):  # over the first wrap
        calls.from_link(far, 20 * number, speech(number))
    secured.keys = replace(secured.keys, remote=os.urandom(Suite.AES_CM_80.key_octets))
    secured.outbound = secured.session(secured.keys.remote, Policy.SSRC_ANY_OUTBOUND)
    secured.agree()
    secured.send(2)
    calls.slot()
    assert far.frames[-1].payload == speech(2)
    calls.from_link(far, 80, speech(4))
    heard = [secured.inbound.unprotect(datagram) for datagram in phone.received_datagrams()]
    assert [parse_rtp_untrusted(packet).payload for packet in heard[-2:]] == [speech(3), speech(4)]


def test_what_is_not_authentic_is_dropped_and_counted(calls: RelayCalls) -> None:
    phone, media, far = calls.connected()
    secured = SrtpPhone(phone, media)
    secured.agree()
    secured.send(1)
    calls.slot()
    replayed = secured.sealed(2)
    phone.send_datagram(media, replayed)
    calls.slot()
    forged = bytearray(secured.sealed(3))
    forged[20] ^= 1
    for datagram in (replayed, bytes(forged), b"", b"\x80", b"\x80" * 1400, os.urandom(182)):
        phone.send_datagram(media, datagram)
        calls.slot()
        assert far.frames[-1].payload == b"\xff" * 160
    phone.send(media, 4, speech(4))  # in clear
    calls.slot()
    assert far.frames[-1].payload == b"\xff" * 160
    secured.send(5)
    calls.run(0.06)
    assert speech(5) in [frame.payload for frame in far.frames]
    assert media.counters.received == 3


def test_a_stranger_without_the_key_is_not_taken_for_the_phone(calls: RelayCalls) -> None:
    phone, media, far = calls.connected()
    secured = SrtpPhone(phone, media)
    secured.agree()
    stranger = calls.phone()
    stranger.send(media, 1, speech(1))
    stranger.send_datagram(media, SrtpPhone(stranger, media).sealed(1))
    calls.slot()
    assert media.latch.source is None
    secured.send(2)
    calls.slot()
    assert far.frames[-1].payload == speech(2)


@pytest.mark.parametrize("octets", [0, 7, 8, 100, 1480, 1500, 1600, 9000])
def test_reports_of_any_size_harm_nothing(calls: RelayCalls, octets: int) -> None:
    phone, media, _ = calls.connected()
    secured = SrtpPhone(phone, media)
    secured.agree()
    secured.send(1)
    calls.slot()
    phone.socket.sendto(os.urandom(octets), (phone.host, media.rtp_port + 1))
    media.receive_report(calls.now)
    assert media.counters.malformed + media.counters.wrong_source == 1


def test_the_same_keys_go_on_through_a_new_negotiation(calls: RelayCalls) -> None:
    """Both counters of packets have wrapped by then, which new sessions would not know."""
    phone, media, far = calls.connected()
    secured = SrtpPhone(phone, media)
    secured.agree()
    for sequence in (65_534, 65_535, 65_536, 65_537):
        secured.send(sequence & 0xFFFF)
        calls.slot()
    secured.agree()
    secured.send(2)
    calls.run(0.06)
    assert speech(2) in [frame.payload for frame in far.frames]


def test_a_new_key_begins_anew_and_the_old_one_is_over(calls: RelayCalls) -> None:
    phone, media, far = calls.connected()
    old = SrtpPhone(phone, media)
    old.agree()
    old.send(1)
    calls.slot()
    new = SrtpPhone(phone, media, Suite.AES_GCM)
    new.agree()
    old.send(2)
    calls.slot()
    assert far.frames[-1].payload == b"\xff" * 160
    new.send(3)
    calls.run(0.04)
    assert speech(3) in [frame.payload for frame in far.frames]


def test_keys_given_up_leave_the_audio_in_clear(calls: RelayCalls) -> None:
    phone, media, far = calls.connected()
    secured = SrtpPhone(phone, media)
    secured.agree()
    media.set_remote(remote_of(phone))
    phone.send(media, 1, speech(1))
    calls.slot()
    assert far.frames[-1].payload == speech(1)


def test_rejected_packets_are_counted(calls: RelayCalls) -> None:
    phone = calls.phone()
    media = calls.call(phone)
    secured = SrtpPhone(phone, media)
    sockets = SrtpSockets(media.ports, secured.keys)
    phone.send_datagram(media, b"nothing")
    assert sockets.receive(479)[0] == b""
    assert sockets.rejected == 1
    secured.send(1)
    assert len(sockets.receive(479)[0]) == 172
    assert sockets.rejected == 1
