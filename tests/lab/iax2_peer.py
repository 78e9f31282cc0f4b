"""A peer of an IAX2 endpoint that a test writes frame by frame, honest or not.

It encrypts with the plain second implementation of tests/vectors, so that the engine is never
held against itself. Owns time as its endpoint sees it.
"""

from dataclasses import dataclass, field, replace
from random import Random
from typing import Final, TypeVar

from bridge.iax2 import Address, Endpoint, Event
from bridge.iax2.constants import FrameType, IaxSubclass
from bridge.iax2.elements import ElementValue, InformationElements, parse_elements_untrusted
from bridge.iax2.errors import FrameError
from bridge.iax2.frames import FullFrame, parse_frame_untrusted
from bridge.iax2.inputs import is_unsequenced
from tests.lab.iax2_wire import START
from tests.vectors.reference import (
    clear_octets,
    reference_decrypt,
    reference_encrypt,
)

PEER: Final[Address] = ("192.0.2.9", 4569)
STRANGER: Final[Address] = ("192.0.2.66", 4569)
PEER_CALL_NUMBER: Final = 77
VOICE: Final = bytes(range(160))

_EventType = TypeVar("_EventType", bound=Event)


@dataclass(frozen=True, slots=True)
class Received:
    """A full frame that the endpoint sent; `padding` is empty where it came in clear."""

    at: float
    datagram: bytes
    frame: FullFrame
    key: bytes | None
    padding: bytes

    @property
    def is_iax(self) -> bool:
        """Whether the frame is of type IAX."""
        return self.frame.frame_type == FrameType.IAX

    @property
    def elements(self) -> InformationElements:
        """The frame's information elements."""
        return parse_elements_untrusted(self.frame.data)


@dataclass(slots=True)
class Peer:
    """One call's far side; `keys` are those that the endpoint may encrypt with, newest last.

    It acknowledges what it receives unless `acknowledges` is unset.
    """

    endpoint: Endpoint
    address: Address = PEER
    call_number: int = PEER_CALL_NUMBER
    now: float = START
    acknowledges: bool = True
    oseqno: int = 0
    iseqno: int = 0
    other_call_number: int = 0
    keys: list[bytes] = field(default_factory=list)
    key: bytes | None = None
    started_at: float = START
    received: list[Received] = field(default_factory=list)
    minis: list[bytes] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    _random: Random = field(default_factory=lambda: Random(4))

    @property
    def elapsed_ms(self) -> int:
        """Its timestamp now."""
        return round((self.now - self.started_at) * 1000) % (1 << 32)

    def encrypt_with(self, key: bytes) -> None:
        """Encrypt and decrypt with a key from here on."""
        self.key = key
        self.keys.append(key)

    def frame(self, frame_type: int, subclass: int, data: bytes = b"") -> FullFrame:
        """Return the frame that it would send now, not yet counted in its sequence."""
        return FullFrame(
            self.call_number,
            self.other_call_number,
            self.elapsed_ms,
            self.oseqno,
            self.iseqno,
            frame_type,
            subclass,
            data,
        )

    def seal(self, octets: bytes, key: bytes | None = None) -> bytes:
        """Return the datagram of a clear frame, full or mini, under a key."""
        key = key or self.key
        assert key is not None
        start = clear_octets(octets)
        extra_octets = -(len(octets) - start) % 16
        padding = bytearray(self._random.randbytes(16 + extra_octets))
        padding[15] = padding[15] & 0xF0 | extra_octets
        return octets[:start] + reference_encrypt(key, bytes(padding), octets[start:])

    def put(self, frame: FullFrame, *, key: bytes | None = None, clear: bool = False) -> bytes:
        """Send a frame as it stands and return its datagram; encrypted where there is a key."""
        key = key or self.key
        octets = frame.encode()
        datagram = octets if clear or key is None else self.seal(octets, key)
        self.inject(datagram)
        return datagram

    def send(
        self, frame_type: int, subclass: int, data: bytes = b"", *, clear: bool = False
    ) -> bytes:
        """Send the next frame in sequence."""
        frame = self.frame(frame_type, subclass, data)
        if not is_unsequenced(frame):
            self.oseqno = (self.oseqno + 1) % 256
        return self.put(frame, clear=clear)

    def send_iax(self, subclass: int, *elements: tuple[int, ElementValue]) -> bytes:
        """Send the next IAX frame in sequence."""
        return self.send(FrameType.IAX, subclass, InformationElements.of(*elements).encode())

    def send_mini(
        self, timestamp_ms: int | None = None, *, payload: bytes = VOICE, key: bytes | None = None
    ) -> bytes:
        """Send a mini frame."""
        timestamp_ms = self.elapsed_ms if timestamp_ms is None else timestamp_ms
        header = self.call_number.to_bytes(2, "big") + (timestamp_ms % 65536).to_bytes(2, "big")
        datagram = self.seal(header + payload, key)
        self.inject(datagram)
        return datagram

    def inject(self, datagram: bytes, address: Address | None = None) -> None:
        """Give the endpoint a datagram, and take what it says to that."""
        self.endpoint.receive_datagram(datagram, address or self.address, self.now)
        self.take()

    def take(self) -> None:
        """Take all that the endpoint sends and tells."""
        while (transmit := self.endpoint.poll_transmit()) is not None:
            assert transmit.address == self.address
            if transmit.data[0] < 0x80:
                self.minis.append(transmit.data)
            else:
                self._take_full(transmit.data)
        while (event := self.endpoint.poll_event()) is not None:
            self.events.append(event)

    def elapse(self, seconds: float) -> None:
        """Let time pass: each deadline of the endpoint is served at its time."""
        end = self.now + seconds
        self.take()
        while (due := self.endpoint.next_timeout()) is not None and due <= end:
            self.now = max(due, self.now)
            self.endpoint.handle_timeout(self.now)
            self.take()
        self.now = end

    def told(self, kind: type[_EventType]) -> list[_EventType]:
        """Return the events of one kind, in order."""
        return [event for event in self.events if isinstance(event, kind)]

    def got(self, subclass: int, frame_type: int = FrameType.IAX) -> list[Received]:
        """Return the received frames of one kind, in order."""
        return [
            received
            for received in self.received
            if (received.frame.frame_type, received.frame.subclass) == (frame_type, subclass)
        ]

    def _take_full(self, datagram: bytes) -> None:
        received = self._open(datagram)
        self.received.append(received)
        frame = received.frame
        if is_unsequenced(frame) or frame.oseqno != self.iseqno:
            return
        self.iseqno = (self.iseqno + 1) % 256
        if self.acknowledges and self.key is not None:
            ack = self.frame(FrameType.IAX, IaxSubclass.ACK)
            self.put(replace(ack, timestamp_ms=frame.timestamp_ms))

    def _open(self, datagram: bytes) -> Received:
        """Decrypt with the first key that gives a frame with its own sequence number in place."""
        for key in reversed(self.keys):
            if len(datagram) < 36 or (len(datagram) - 4) % 16:
                break
            padding, body = reference_decrypt(key, datagram[4:])
            frame = _parse(datagram[:4] + body)
            if frame is not None and frame.frame_type in set(FrameType) and self._is_due(frame):
                return Received(self.now, datagram, frame, key, padding)
        frame = _parse(datagram)
        assert frame is not None
        return Received(self.now, datagram, frame, None, b"")

    def _is_due(self, frame: FullFrame) -> bool:
        """Tell a frame from garbage: it acknowledges nothing that was not sent."""
        return (self.oseqno - frame.iseqno) % 256 < 128


def _parse(octets: bytes) -> FullFrame | None:
    try:
        frame = parse_frame_untrusted(octets)
    except FrameError:
        return None
    return frame if isinstance(frame, FullFrame) else None
