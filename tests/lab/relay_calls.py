"""A relay in virtual time between loopback phones and far ends that decrypt what it sends."""

import os
import random
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Self

import pytest

from bridge.iax2.auth import Address
from bridge.iax2.cipher import Opener, Sealer
from bridge.iax2.clock import ReceiveClock
from bridge.iax2.constants import Format
from bridge.iax2.voice import VoicePath
from bridge.media.call_media import CallMedia
from bridge.media.ports import PortPool
from bridge.media.relay import Relay
from bridge.media.remote import RemoteMedia
from bridge.media.rtp import RtpPacket, parse_rtp_untrusted

PEER: Address = ("127.0.0.2", 4569)
EPOCH_S = 1000.0
SLOT_S = 0.020
ULAW_SILENCE = b"\xff" * 160
ALAW_SILENCE = b"\xd5" * 160
ROUNDING_S = 1e-6


class Phone:
    """A UDP socket that speaks RTP."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.bind((host, 0))
        self.host = host
        self.port: int = self.socket.getsockname()[1]
        self.ssrc = random.getrandbits(32)

    def send(
        self,
        media: CallMedia,
        sequence: int,
        payload: bytes,
        payload_type: int = 0,
        timestamp: int | None = None,
    ) -> None:
        """Send a packet, by default that of a steady 20 ms stream of PCMU."""
        timestamp = sequence * 160 if timestamp is None else timestamp
        packet = RtpPacket(
            payload_type,
            marker=False,
            sequence=sequence,
            timestamp=timestamp,
            ssrc=self.ssrc,
            payload=payload,
        )
        self.send_datagram(media, packet.encode())

    def send_datagram(self, media: CallMedia, datagram: bytes) -> None:
        self.socket.sendto(datagram, (self.host, media.rtp_port))

    def received(self) -> list[RtpPacket]:
        """Return all packets that have come since the last time."""
        return [parse_rtp_untrusted(datagram) for datagram in self.received_datagrams()]

    def received_datagrams(self) -> list[bytes]:
        datagrams = []
        try:
            while True:
                datagrams.append(self.socket.recv(2048))
        except BlockingIOError:
            return datagrams


@dataclass(frozen=True, slots=True)
class LinkFrame:
    """What the far end has got."""

    sent_at: float
    timestamp_ms: int
    payload: bytes
    full: bool = False


@dataclass(slots=True, eq=False)
class FarEnd:
    """The other end of one call's link: decrypts, and encrypts for the way back."""

    media: CallMedia
    path: VoicePath
    voice: VoicePath
    address: Address
    frames: list[LinkFrame] = field(default_factory=list)

    def seal(self, payload: bytes, timestamp_ms: int) -> bytes:
        """Return a mini frame of the far end."""
        self.voice.start_period(timestamp_ms)
        datagram = self.voice.seal(payload, timestamp_ms)
        assert datagram is not None
        return datagram


class RelayCalls:
    """A relay, its calls, and the time that all of them share."""

    def __init__(self, first_port: int = 31000, last_port: int = 31999) -> None:
        self.clock: Callable[[], float] | None = None
        self._now = EPOCH_S
        self.phones: list[Phone] = []
        self.far_ends: dict[bytes, FarEnd] = {}
        self.sends: list[tuple[float, int, Address]] = []
        self.failures: list[tuple[CallMedia, Exception]] = []
        ports = PortPool(first_port, last_port, random.SystemRandom())  # tests run side by side
        self.relay = Relay(self._send_link, ports, self._fail)
        self._call_number = 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.relay.close()
        for phone in self.phones:
            phone.socket.close()

    @property
    def now(self) -> float:
        """Our own time, or that of a clock that somebody else moves."""
        return self._now if self.clock is None else self.clock()

    @now.setter
    def now(self, now: float) -> None:
        self._now = now

    def phone(self, host: str = "127.0.0.1") -> Phone:
        self.phones.append(Phone(host))
        return self.phones[-1]

    def call(
        self, phone: Phone, phone_format: Format = Format.ULAW, *, telephone_event: bool = True
    ) -> CallMedia:
        """Open a call that has negotiated with a phone."""
        media = self.relay.open(phone.host)
        media.set_remote(remote_of(phone, phone_format, telephone_event=telephone_event))
        return media

    def connect(
        self, media: CallMedia, link_format: Format = Format.ULAW, peer: Address = PEER
    ) -> FarEnd:
        """Answer the call on the link."""
        self._call_number += 1
        number, key, other_key = self._call_number, os.urandom(16), os.urandom(16)
        path = voice_path(link_format, number, peer, (Sealer(key), Opener(other_key)), self.now)
        voice = voice_path(link_format, number, peer, (Sealer(other_key), Opener(key)), self.now)
        far = FarEnd(media, path, voice, peer)
        self.far_ends[number.to_bytes(2, "big")] = far

        def send_full(payload: bytes, timestamp_ms: int) -> None:
            path.start_period(timestamp_ms)
            voice.take_full_frame(timestamp_ms, self.now)
            far.frames.append(LinkFrame(self.now, timestamp_ms, payload, full=True))

        media.connect(path, send_full, self.now)
        return far

    def connected(self) -> tuple[Phone, CallMedia, FarEnd]:
        """Return a phone in a call that is up on both sides, both of mu-law."""
        phone = self.phone()
        media = self.call(phone)
        return phone, media, self.connect(media)

    def from_link(self, far: FarEnd, timestamp_ms: int, payload: bytes) -> bool:
        """Let a frame of the far end arrive now."""
        return self.relay.receive_link(far.seal(payload, timestamp_ms), far.address, self.now)

    def run(self, seconds: float) -> None:
        """Let time pass, with every wake-up in time."""
        end = self.now + seconds
        while (tick := self.relay.next_tick()) is not None and tick <= end + ROUNDING_S:
            self.now = tick
            self.relay.tick(tick)
        self.now = max(self.now, end)

    def slot(self) -> None:
        """Let time pass until each running phase has had a slot."""
        self.run(SLOT_S)

    def _send_link(self, datagrams: list[bytes], address: Address) -> None:
        self.sends.append((self.now, len(datagrams), address))
        for datagram in datagrams:
            far = self.far_ends[datagram[:2]]
            opened = far.voice.open(datagram, self.now)
            assert opened is not None
            far.frames.append(LinkFrame(self.now, *opened))

    def _fail(self, media: CallMedia, error: Exception) -> None:
        self.failures.append((media, error))


def remote_of(
    phone: Phone,
    phone_format: Format = Format.ULAW,
    *,
    telephone_event: bool = True,
    sends: bool = True,
    receives: bool = True,
) -> RemoteMedia:
    """Return what the SDP of a phone says that is where its SIP came from."""
    return RemoteMedia(
        host=phone.host,
        port=phone.port,
        signalling_host=phone.host,
        payload_type=0 if phone_format == Format.ULAW else 8,
        format=phone_format,
        telephone_event=101 if telephone_event else None,
        sends=sends,
        receives=receives,
    )


def voice_path(
    link_format: Format,
    call_number: int,
    peer: Address,
    ciphers: tuple[Sealer, Opener],
    started_at: float,
) -> VoicePath:
    """Return one end of a call whose ends use the same call number, begun just now."""
    clock = ReceiveClock()
    clock.set(0, started_at)
    return VoicePath(
        media_format=link_format,
        source_call_number=call_number,
        peer=(peer, call_number),
        ciphers=ciphers,
        clock=clock,
        started_at=started_at,
    )


def speech(number: int) -> bytes:
    """Return a frame that can be told from others and from silence."""
    return bytes([number % 100 + 1]) * 160


def talk(calls: RelayCalls, phone: Phone, media: CallMedia, numbers: range) -> None:
    """Let a phone send a steady stream."""
    for number in numbers:
        phone.send(media, number, speech(number))
        calls.slot()


def assert_one_frame_each_slot(far: FarEnd) -> None:
    for before, after in pairwise(far.frames):
        assert after.timestamp_ms - before.timestamp_ms == 20
    for before, after in pairwise(far.frames[1:]):
        assert after.sent_at - before.sent_at == pytest.approx(SLOT_S)


def packet_of(payload_type: int, payload: bytes) -> bytes:
    """Return a packet that could be the first of a phone's."""
    return RtpPacket(
        payload_type, marker=False, sequence=9, timestamp=1440, ssrc=1, payload=payload
    ).encode()
