"""The compiled relay against Python's, the reference: the same packets, the same in every slot."""

import os
import random
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from bridge.iax2.cipher import Opener, Sealer
from bridge.iax2.constants import Format
from bridge.media.call_media import CallMedia
from bridge.media.compiled import CLASSES, SWITCH, Compiled, FastPath, PythonAlone, fast_path
from bridge.media.ports import PortPool
from bridge.media.relay import Relay
from bridge.media.remote import RemoteMedia
from bridge.media.rtp import RTP_HEADER
from tests.lab.relay_calls import voice_path

STEP_S = 0.0025
KEY, OTHER_KEY = bytes(range(16)), bytes(range(16, 32))
PARTS = ("counters", "buffer", "latch", "stream", "path")
NOT_COMPARED = frozenset({"_expected_before", "_received_before", "compiled"})
"""What RTCP reports write, at random times, and what the compiled relay alone keeps."""


class Side:
    """One relay with one call, its phone and its far end on sockets of their own."""

    def __init__(self, fast: FastPath, phone_format: Format, link_format: Format) -> None:
        self.phone, self.far, self.link = (_bound() for _ in range(3))
        self.at_link: list[tuple[int, bytes]] = []
        self.at_phone: list[bytes] = []
        self.failures: list[Exception] = []
        ports = PortPool(32000, 39999, random.SystemRandom())
        self.relay = Relay(self._sent, ports, lambda _, error: self.failures.append(error), fast)
        self.media = self.relay.open("127.0.0.1")
        host, port = self.phone.getsockname()
        self.media.set_remote(RemoteMedia(host, port, host, 0, phone_format, telephone_event=101))
        _number_alike(self.media)
        peer = self.far.getsockname()
        ours, theirs = Sealer(KEY), Sealer(OTHER_KEY)
        self.path = path = voice_path(link_format, 5, peer, (ours, Opener(OTHER_KEY)), 100.0)
        self.voice = voice_path(link_format, 5, peer, (theirs, Opener(KEY)), 100.0)
        self.media.connect(path, lambda _, timestamp_ms: path.start_period(timestamp_ms), 100.0)
        self.read = self.relay.link_reader(self.link.fileno())

    def _sent(self, datagrams: list[bytes], _: object) -> None:
        for datagram in datagrams:
            opened = self.voice.open(datagram, self.now)
            assert opened is not None
            self.at_link.append(opened)

    def send_rtp(self, packet: bytes) -> None:
        """Let the phone send."""
        self.phone.sendto(packet, ("127.0.0.1", self.media.rtp_port))

    def send_mini(self, timestamp_ms: int, payload: bytes, *, garbled: bool) -> None:
        """Let the far end send."""
        self.voice.start_period(timestamp_ms)
        datagram = self.voice.seal(payload, timestamp_ms)
        assert datagram is not None
        if garbled:
            datagram = datagram[:2] + bytes(len(datagram) - 2)
        self.far.sendto(datagram, self.link.getsockname())

    def run(self, now: float) -> None:
        """Do what is due now, and look at what has come out."""
        self.now = now
        left = 64
        while self.read is not None and not isinstance(unusual := self.read(now, left), bool):
            datagram, address, left = unusual
            self.relay.receive_link(datagram, address, now)
        if self.read is None:
            for datagram, address in _waiting(self.link):
                self.relay.receive_link(datagram, address, now)
        self.relay.tick(now)
        self.at_phone += [packet for packet, _ in _waiting(self.phone)]

    def state(self) -> dict[str, Any]:
        """Every figure of the call, by the name of its slot."""
        media = self.media
        parts = {name: getattr(media, name) for name in PARTS}
        parts["statistics"] = media.reports.statistics
        parts["clock"] = self.path._clock
        found = {
            f"{part}.{slot}": getattr(held, slot)
            for part, held in parts.items()
            for slot in type(held).__slots__
            if slot not in NOT_COMPARED and hasattr(held, slot)
        }
        plain = (int, float, bytes, list, str, type(None))
        return {name: value for name, value in found.items() if isinstance(value, plain)} | {
            "last_rtp_at": media.last_rtp_at,
            "ssrc": media.ssrc,
            "speaking": media.speaking,
        }

    def close(self) -> None:
        """Give everything back."""
        self.relay.close()
        for opened in (self.phone, self.far, self.link):
            opened.close()


def _number_alike(media: Any) -> None:  # noqa: ANN401 - as above
    media.stream.ssrc, media.stream.timestamp, media.stream._sequence = 9, 4_294_960_000, 65_500


def _bound() -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.bind(("127.0.0.1", 0))
    opened.setblocking(False)  # noqa: FBT003 - the socket module's own
    return opened


def _waiting(opened: socket.socket) -> Iterator[tuple[bytes, Any]]:
    while True:
        try:
            yield opened.recvfrom(2048)
        except BlockingIOError:
            return


@pytest.fixture
def compiled() -> FastPath:
    found = fast_path()
    assert isinstance(found, Compiled), "the compiled relay is not installed: make setup"
    return found


def _phone_packet(rng: random.Random, number: int) -> bytes | None:
    """The phone's packet of a 20 ms step: mostly the next one."""
    fate = rng.random()
    payload = random.Random(number).randbytes(160)
    sequence, timestamp, ssrc, kind = 65_000 + number, number * 160, 77, 0
    if fate < 0.02:
        return None
    if fate < 0.04:
        sequence -= rng.randrange(1, 4)
    elif fate < 0.05:
        sequence += rng.randrange(1, 4000)
    elif fate < 0.06:
        payload = payload[: rng.randrange(160)]
    elif fate < 0.07:
        kind, payload = 101, bytes([5, 0x80, 0, 160])
    elif fate < 0.08:
        kind = 99
    elif fate < 0.083:
        ssrc += number
    return RTP_HEADER.pack(0x80, kind, sequence & 0xFFFF, timestamp & 0xFFFF_FFFF, ssrc) + payload


def _speak(sides: tuple[Side, Side], rng: random.Random, number: int) -> None:
    """Let phone and far end send the same on both sides: losses, jumps and garbage in between."""
    packet = _phone_packet(rng, number)
    copies = 2 if rng.random() < 0.01 else 1
    mini = None if rng.random() < 0.05 else number * 20 - rng.choice((0,) * 30 + (20, 40))
    garbled = rng.random() < 0.01
    speech = random.Random(number).randbytes(160)
    for side in sides:
        if packet is not None:
            for _ in range(copies):
                side.send_rtp(packet)
        if mini is not None:
            side.send_mini(mini, speech, garbled=garbled)


def _play(sides: tuple[Side, Side], seed: int, steps: int) -> None:
    rng = random.Random(seed)
    for step in range(steps):
        now = 100.0 + (step + 1) * STEP_S
        if step % 8 == 0:
            _speak(sides, rng, 1 + step // 8)
        for side in sides:
            if step % 977 == 976:
                side.media.send_digit("5", now)
            side.run(now)
        assert sides[0].state() == sides[1].state(), f"after step {step} of seed {seed}"


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "formats", [(Format.ULAW, Format.ULAW), (Format.ALAW, Format.ULAW)], ids=["same", "translated"]
)
def test_both_do_the_same_to_every_slot_and_every_packet(
    compiled: FastPath, formats: tuple[Format, Format], seed: int
) -> None:
    sides = (Side(PythonAlone(), *formats), Side(compiled, *formats))
    try:
        _play(sides, seed, steps=4000)
        python, other = sides
        assert python.failures == other.failures == []
        assert python.at_link == other.at_link
        assert python.at_phone == other.at_phone
        assert len(python.at_link) > 450
        assert len(python.at_phone) > 400
    finally:
        for side in sides:
            side.close()


@pytest.mark.parametrize("frames", [5, 6])
@pytest.mark.parametrize("limit", [0, 2**8, 2**30, 2**60, 2**62])
def test_numbers_go_on_and_those_that_somebody_holds_stay(
    compiled: FastPath, limit: int, frames: int
) -> None:
    """The relay writes into objects that nobody else holds; here every second one is held."""
    first = limit - frames * 160
    side = Side(compiled, Format.ULAW, Format.ULAW)
    counters, path = side.media.counters, side.path
    held: list[tuple[float, str]] = []
    try:
        for number in range(1, 41):
            if number == 20:
                counters.sent_octets = counters.received = first
            packet = RTP_HEADER.pack(0x80, 0, number, number * 160, 7) + bytes(160)
            side.send_rtp(packet)
            side.send_mini(number * 20, bytes(160), garbled=False)
            side.run(100.0 + number * 0.02 + number % 7 / 1000)
            if number % 2:
                values = (counters.sent_octets, counters.received, path.jitter_ms)
                held += [(value, repr(value)) for value in values]
        assert (counters.sent_octets, counters.received) == (first + 21 * 160, first + 21)
        assert [value for value, _ in held] == [type(value)(text) for value, text in held]
        assert len({text for _, text in held}) > 20
    finally:
        side.close()


def test_plain_packets_never_reach_python(
    compiled: FastPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the comparison above is one of two paths, and not of one with itself."""
    side = Side(compiled, Format.ULAW, Format.ULAW)
    try:
        for number in range(1, 101):
            now = 100.0 + number * 0.02
            if number == 50:  # latched, in step, and the first frames are through
                for name in ("_from_phone", "to_phone"):
                    monkeypatch.delattr(Relay, name)
            packet = RTP_HEADER.pack(0x80, 0, number, number * 160, 7) + bytes([number]) * 160
            side.send_rtp(packet)
            side.send_mini(number * 20, bytes([number]) * 160, garbled=False)
            side.run(now)
        assert side.failures == []
        assert [payload[0] for _, payload in side.at_link[-10:]] == list(range(91, 101))
        assert [packet[12] for packet in side.at_phone[-10:]] == list(range(91, 101))
    finally:
        side.close()


def test_a_class_without_a_slot_that_is_needed_is_refused(compiled: FastPath) -> None:
    assert isinstance(compiled, Compiled)
    configure = compiled.configure

    class Sealer:
        """Of another version."""

    with pytest.raises(AttributeError, match="key"):
        configure({**CLASSES, "Sealer": Sealer})
    with pytest.raises(TypeError, match="the class Opener is missing"):
        configure({name: known for name, known in CLASSES.items() if name != "Opener"})
    configure(CLASSES)


def test_one_of_another_version_is_left_out_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(CallMedia, "first_slot")
    found = fast_path()
    assert isinstance(found, PythonAlone)
    assert "first_slot" in found.name
    assert "make setup" in found.name


def test_the_switch_leaves_it_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, SWITCH, "0")
    assert isinstance(fast_path(), PythonAlone)


def test_more_than_a_batch_comes_from_the_link_in_order_and_within_the_limit(
    compiled: FastPath,
) -> None:
    link, peers = _bound(), (_bound(), _bound())
    try:
        sent = [(bytes([1, number]) * 30, peers[number % 2]) for number in range(50)]
        for datagram, peer in sent:
            peer.sendto(datagram, link.getsockname())
        read = compiled.link_reader(link.fileno(), {})
        assert read is not None
        got: list[list[tuple[bytes, Any]]] = []
        for _ in range(3):
            left = 40
            got.append([])
            while not isinstance(unusual := read(1.0, left), bool):
                datagram, address, left = unusual
                got[-1].append((datagram, address))
        assert [len(turn) for turn in got] == [40, 10, 0]
        assert [each for turn in got for each in turn] == [
            (datagram, peer.getsockname()) for datagram, peer in sent
        ]
    finally:
        for opened in (link, *peers):
            opened.close()


def test_silence_is_sent_without_python_while_the_phone_is_quiet(compiled: FastPath) -> None:
    side = Side(compiled, Format.ULAW, Format.ULAW)
    try:
        side.now, slot = 100.0, side.media.first_slot
        for number in range(10):
            datagrams, rest = compiled.seal_slot((side.media,), slot + number)
            assert rest == []
            side._sent(datagrams, None)
        assert [set(payload) for _, payload in side.at_link] == [{0xFF}] * 10
        assert side.media.buffer.underruns == 10
    finally:
        side.close()
