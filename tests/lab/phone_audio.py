"""The RTP side of the lab's phone: sends marked frames or a tone on a clock, records what returns.

A marked frame carries its own number and the stream's inside the payload, so an echo tells which
frames were lost, doubled or late. It knows no SIP.
"""

import itertools
import random
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

import trio

from tests.lab.sip_message import Media

FRAME_S = 0.020
FRAME_SAMPLES = 160
EVENT_FRAMES = 5
EVENT_END_PACKETS = 3
DIGITS = "0123456789*#ABCD"
_RTP = struct.Struct("!BBHII")  # V P X CC | M PT | sequence number | timestamp | SSRC
_EVENT = struct.Struct("!BBH")  # event | E R volume | duration
_MARKER = struct.Struct("!4sII")  # "SIAX" | stream | frame number
_MAGIC = b"SIAX"
_EDGE_FRAMES = 25


@dataclass(frozen=True, slots=True)
class ReceivedRtp:
    """One RTP packet, with trio's time of its arrival."""

    at_s: float
    payload_type: int
    sequence: int
    timestamp: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class EchoReport:
    """The fate of the marked frames from the first that came back to 0.5 s before the end."""

    sent: int
    lost: int
    duplicated: int
    reordered: int
    delay_p50_ms: float
    delay_p99_ms: float

    @property
    def loss(self) -> float:
        """The lost share, 0 to 1; all of it when nothing came back."""
        return self.lost / self.sent if self.sent else 1.0


@dataclass
class PhoneAudio:
    """One RTP stream each way.

    Attributes:
        received: Every packet that arrived, in order.
        source: Makes the payload of a frame from its number; None sends nothing.
        sent_at_s: When each frame left, by its number.
        frame_octets: Of 20 ms in the call's codec.
    """

    socket: trio.socket.SocketType
    stream: int = field(default_factory=lambda: random.getrandbits(32))
    received: list[ReceivedRtp] = field(default_factory=list)
    sent_at_s: list[float] = field(default_factory=list)
    source: Callable[[int], bytes] | None = None
    frame_octets: int = FRAME_SAMPLES
    remote: Media | None = None
    _sequence: int = field(default_factory=lambda: random.getrandbits(16))
    _timestamp: int = field(default_factory=lambda: random.getrandbits(31))
    _events: list[tuple[int, bool, int]] = field(default_factory=list)
    _event_timestamp: int = 0

    @classmethod
    async def open(cls, host: str) -> "PhoneAudio":
        """Binds a port; even numbers are for RTP by RFC 3550 section 11."""
        while True:
            family = trio.socket.AF_INET6 if ":" in host else trio.socket.AF_INET
            candidate = trio.socket.socket(family, trio.socket.SOCK_DGRAM)
            await candidate.bind((host, 0))
            if candidate.getsockname()[1] % 2 == 0:
                return cls(candidate)
            candidate.close()

    @property
    def port(self) -> int:
        """The local RTP port."""
        number: int = self.socket.getsockname()[1]
        return number

    async def run(self) -> None:
        """Sends and receives until cancelled."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._receive)
                await self._send_on_clock()
        finally:
            self.socket.close()

    def marked(self, number: int) -> bytes:
        """A frame that an echo can be recognised by; its filler differs from frame to frame."""
        filler = random.Random(number).randbytes(self.frame_octets - _MARKER.size)
        return _MARKER.pack(_MAGIC, self.stream, number & 0xFFFFFFFF) + filler

    def send_digit(self, digit: str) -> None:
        """Queues a digit as RFC 4733 packets: 100 ms, its end sent three times."""
        event = DIGITS.index(digit)
        running = [(event, False, (n + 1) * FRAME_SAMPLES) for n in range(EVENT_FRAMES)]
        self._events += running
        self._events += [(event, True, EVENT_FRAMES * FRAME_SAMPLES)] * EVENT_END_PACKETS

    async def send_digits(self, digits: str, spacing_s: float = 0.6) -> None:
        """Sends digits one after the other, as somebody types them."""
        for digit in digits:
            self.send_digit(digit)
            await trio.sleep(spacing_s)

    def digits_received(self) -> str:
        """The digits of RFC 4733 events, one for each event timestamp that arrived."""
        number = self.remote.telephone_event if self.remote else None
        seen: dict[int, str] = {}
        for packet in self.received:
            if packet.payload_type == number:
                seen.setdefault(packet.timestamp, DIGITS[packet.payload[0] & 15])
        return "".join(seen.values())

    def audio_received(self) -> list[ReceivedRtp]:
        """The packets that carry audio."""
        number = self.remote.telephone_event if self.remote else None
        return [packet for packet in self.received if packet.payload_type != number]

    def echo_report(self) -> EchoReport:
        """Compares what was sent with what came back."""
        return self.report_from(self)

    def report_from(self, speaker: "PhoneAudio") -> EchoReport:
        """Compares the marked frames that another phone sent with those that came here."""
        arrivals = self._marked_arrivals(speaker)
        order = [number for number, _ in arrivals]
        sent_at_s = speaker.sent_at_s
        window = range(min(order), len(sent_at_s) - _EDGE_FRAMES) if order else range(0)
        came = {number: at for number, at in reversed(arrivals) if number in window}
        delays = sorted(at - sent_at_s[number] for number, at in came.items())
        return EchoReport(
            len(window),
            len(window) - len(came),
            len(order) - len(set(order)),
            sum(1 for a, b in itertools.pairwise(order) if b < a),
            quantile_ms(delays, 0.5),
            quantile_ms(delays, 0.99),
        )

    def echo_window(self) -> range:
        """The numbers of the frames that are judged, from the first that came back."""
        came = [number for number, _ in self._marked_arrivals(self)]
        return range(min(came), len(self.sent_at_s) - _EDGE_FRAMES) if came else range(0)

    def number_of(self, payload: bytes) -> int | None:
        """The number of a marked frame of this phone; None for any other audio."""
        if payload[:4] != _MAGIC or len(payload) != self.frame_octets:
            return None
        _, stream, number = _MARKER.unpack_from(payload)
        return int(number) if stream == self.stream else None

    def _marked_arrivals(self, speaker: "PhoneAudio") -> list[tuple[int, float]]:
        return [
            (number, packet.at_s)
            for packet in self.received
            if (number := speaker.number_of(packet.payload)) is not None
        ]

    async def _receive(self) -> None:
        while True:
            datagram = await self.socket.recv(2048)
            if len(datagram) < _RTP.size or datagram[0] & 0xF0 != 0x80:
                continue
            _, kind, sequence, timestamp, _ = _RTP.unpack_from(datagram)
            packet = ReceivedRtp(
                trio.current_time(), kind & 0x7F, sequence, timestamp, datagram[_RTP.size :]
            )
            self.received.append(packet)

    async def _send_on_clock(self) -> None:
        due = trio.current_time()
        while True:
            due += FRAME_S
            await trio.sleep_until(due)
            self._timestamp = (self._timestamp + FRAME_SAMPLES) & 0xFFFFFFFF
            if self.remote is None or self.remote.direction == "inactive":
                continue
            if self._events:
                await self._send_event(*self._events.pop(0))
            elif self.source is not None:
                self.sent_at_s.append(trio.current_time())
                payload = self.source(len(self.sent_at_s) - 1)
                await self._send(self.remote.payload_types[0], self._timestamp, payload)

    async def _send_event(self, event: int, ended: bool, duration: int) -> None:  # noqa: FBT001
        starts = duration == FRAME_SAMPLES and not ended
        if starts:
            self._event_timestamp = self._timestamp
        payload = _EVENT.pack(event, 0x8A if ended else 0x0A, duration)
        number = self.remote.telephone_event if self.remote else None
        if number is not None:
            await self._send(number, self._event_timestamp, payload, marker=starts)

    async def _send(
        self, kind: int, timestamp: int, payload: bytes, *, marker: bool = False
    ) -> None:
        if self.remote is None:
            return
        self._sequence = (self._sequence + 1) & 0xFFFF
        second = kind | (0x80 if marker else 0)
        header = _RTP.pack(0x80, second, self._sequence, timestamp, self.stream)
        await self.socket.sendto(header + payload, (self.remote.host, self.remote.port))


def quantile_ms(ordered_s: list[float], share: float) -> float:
    """A quantile of sorted seconds, in milliseconds; 0 of nothing."""
    if not ordered_s:
        return 0.0
    return round(ordered_s[min(int(len(ordered_s) * share), len(ordered_s) - 1)] * 1000, 3)
