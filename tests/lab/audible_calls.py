"""Bridged calls in virtual time with their audio: the stage of bridged_calls, and the real relay.

Only the phone's RTP goes through sockets, on the loopback device; when, decides virtual time.
What both sides send on the link is noted as a listener there sees it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import Random
from types import TracebackType
from typing import Any, Final, Self

from bridge.iax2 import Address
from bridge.media.call_media import CallMedia
from bridge.media.ports import PortPool
from bridge.media.relay import Relay
from bridge.media.rtp import COMFORT_NOISE
from tests.lab import relay_calls
from tests.lab.bridged_calls import NEAR, Stage
from tests.lab.bridged_phone import CALLER, Phone
from tests.simulation.network import Weather

FRAME_S: Final = 0.02
SPEECH: Final = bytes(range(160))
SILENCE: Final = b"\xff" * 160
_PORTS: Final = (33000, 33999)
_FULL: Final = 0x80


@dataclass(frozen=True, slots=True)
class SentFrame:
    """A frame on the link: tenths of a ms after the first one, octets, full or mini."""

    after_100us: int
    octets: int
    full: bool


class AudibleStage(Stage):
    """One call and its phone's audio; to be used as a context manager.

    Attributes:
        sent: What we sent on the link.
        answered: What the far end sent, which is an engine of ours.
        rtp: The phone's audio.
    """

    def __init__(self, weather: Weather | None = None, **link: Any) -> None:  # noqa: ANN401
        super().__init__(weather, **link)
        self.sent: list[SentFrame] = []
        self.answered: list[SentFrame] = []
        self.rtp = relay_calls.Phone()
        self._relay = Relay(self._send_link, PortPool(*_PORTS, Random(7)), self._fail)
        self._relay.on_schedule = self._set_tick
        self._opened: list[CallMedia] = []
        self._first_at: float | None = None
        self._sequence = 0
        self.simulation.watch = self._watch

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._relay.close()
        self.rtp.socket.close()

    def offer(self) -> str:
        """What the phone says in SDP."""
        return f"v=0\r\nc=IN IP4 127.0.0.1\r\nm=audio {self.rtp.port} RTP/AVP 0\r\n"

    def dial_number(self, number: str, caller: str = CALLER) -> Phone:
        """The phone calls, from the second time on as well: what is sent then is noted anew."""
        self._first_at = None
        self.sent, self.answered = [], []
        return self.dial(f"8{number}", self.offer(), caller=caller)

    def speak(self, payload: bytes, from_s: float, until_s: float, early_s: float = 0.0) -> None:
        """Let the phone send RTP; every second frame `early_s` before its time, as jitter does."""
        for number in range(round((until_s - from_s) / FRAME_S)):
            at = self.now + from_s + number * FRAME_S - early_s * (number % 2)
            self.simulation.at(at, partial(self._send_rtp, payload))

    def speak_in_packets(self, packet_ms: int, from_s: float, until_s: float) -> None:
        """Let the phone send RTP in packets of another length, and comfort noise at their end."""
        payload, samples = SPEECH[:80] * (packet_ms // 10), packet_ms * 8
        packets = round((until_s - from_s) * 1000 / packet_ms)
        for number in range(packets):
            at = self.now + from_s + number * packet_ms / 1000
            self.simulation.at(at, partial(self._send_rtp, payload, 0, number * samples))
        end = partial(self._send_rtp, b"\x40", COMFORT_NOISE, packets * samples)
        self.simulation.at(self.now + until_s, end)

    def later(self, after_s: float, do: Callable[[], None]) -> None:
        """Do something at a time."""
        self.simulation.at(self.now + after_s, do)

    def _send_rtp(
        self, payload: bytes, payload_type: int = 0, timestamp: int | None = None
    ) -> None:
        if self._opened and not self._opened[-1].closed:
            self._sequence += 1
            self.rtp.send(self._opened[-1], self._sequence, payload, payload_type, timestamp)

    def _open_media(self, _local_host: str) -> CallMedia:
        self._opened.append(self._relay.open("127.0.0.1"))
        return self._opened[-1]

    def _send_link(self, datagrams: list[bytes], address: Address) -> None:
        for datagram in datagrams:
            self.simulation.send(NEAR, datagram, address)

    def _fail(self, _media: CallMedia, error: Exception) -> None:
        raise error

    def _watch(self, source: Address, data: bytes) -> None:
        self._first_at = self.now if self._first_at is None else self._first_at
        after_100us = round((self.now - self._first_at) * 10_000)
        side = self.sent if source == NEAR else self.answered
        side.append(SentFrame(after_100us, len(data), bool(data[0] & _FULL)))

    def _set_tick(self) -> None:
        tick = self._relay.next_tick()
        if tick is not None:
            self.simulation.at(max(tick, self.now), self._tick)

    def _tick(self) -> None:
        due = self._relay.next_tick()
        if due is not None and due <= self.now:
            self._relay.tick(self.now)
            self._set_tick()
