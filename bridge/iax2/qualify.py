"""Whether a peer answers at all, and how fast: a POKE now and again, whatever calls there are.

A POKE belongs to no call and changes nothing at the peer. Its regular clock tells an eavesdropper
that the link exists, and nothing about calls.
"""

from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from bridge.iax2.auth import Address
from bridge.iax2.clock import TIMESTAMP_MODULUS
from bridge.iax2.constants import (
    CALL_NUMBER_NONE,
    CALL_NUMBER_STATELESS,
    ElementType,
    FrameType,
    IaxSubclass,
)
from bridge.iax2.elements import InformationElements, parse_elements_untrusted
from bridge.iax2.errors import FrameError
from bridge.iax2.frames import FullFrame, parse_frame_untrusted
from bridge.iax2.reliability import SEQUENCE_MODULUS
from bridge.iax2.services import NOWHERE, PeerServices

QUALIFY_INTERVAL_S: Final = 60.0
DOUBTFUL_INTERVAL_S: Final = 10.0
"""From one POKE to the next while the peer is late or silent."""
LATE_S: Final = 2.0
POKES_MAX: Final = 5
"""POKEs without an answer until the peer counts as unreachable."""
POKE_AGAIN_FIRST_S: Final = 0.5
POKE_AGAIN_MIN_S: Final = 0.25
POKE_AGAIN_MAX_S: Final = 2.0

_RTT_GAIN: Final = 0.25
_RTT_FACTOR: Final = 2.0


class Reachability(Enum):
    """What the last answer, or its absence, says about a peer."""

    UNKNOWN = "not known yet"
    REACHABLE = "reachable"
    LATE = "late"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class Qualification:
    """What is known of a peer's reachability.

    Attributes:
        reachability: What the newest POKE found.
        since: Since when, on the clock of `now`, in seconds; of a silent peer, since its first
            POKE without an answer. None while nothing is known.
        rtt_s: The smoothed round-trip time; kept while the peer is silent.
        last_rtt_s: The newest one.
        pokes: POKEs that were sent, those to earlier addresses included.
        pongs: Those of them that were answered in time.
    """

    reachability: Reachability = Reachability.UNKNOWN
    since: float | None = None
    rtt_s: float | None = None
    last_rtt_s: float | None = None
    pokes: int = 0
    pongs: int = 0


@dataclass(frozen=True, slots=True)
class ReachabilityChanged:
    """A peer became reachable, late or unreachable; `peer` is the name that we gave it."""

    peer: str
    qualification: Qualification


class Qualifier:
    """Pokes one peer for as long as its address is known.

    It keeps one call number for life. Each POKE carries a timestamp of its own, which the PONG
    echoes: so it is known which of them was answered.

    Source: RFC 5456 section 6.7; Asterisk chan_iax2, iax2_poke_peer(), for the intervals and the
    empty call token.
    """

    def __init__(
        self, services: PeerServices, call_number: int, name: str, interval_s: float
    ) -> None:
        self.call_number = call_number
        self.filed: list[float] = []
        self.address = NOWHERE
        self.seen = Qualification()
        self._services = services
        self._name = name
        self._interval_s = interval_s
        self._started_at = 0.0
        self._first_at = 0.0
        self._again_s = 0.0
        self._sent_at: dict[int, float] = {}
        self._token = b""
        self._deadline: float | None = None

    def move_to(self, address: Address | None, now: float) -> None:
        """Poke another address from now on, or none; what was known is forgotten then."""
        if (address or NOWHERE) == self.address:
            return
        self.address = address or NOWHERE
        self.seen = replace(Qualification(), pokes=self.seen.pokes, pongs=self.seen.pongs)
        self._sent_at.clear()
        self._deadline = None
        if address is not None:
            self._begin(now)
        self._services.reschedule(self)

    def next_deadline(self) -> float | None:
        """Return when `handle_timeout` wants to be called."""
        return self._deadline

    def handle_timeout(self, now: float) -> None:
        """Send the next POKE, or find that nothing answers."""
        if not self._sent_at:
            self._begin(now)
        elif len(self._sent_at) < POKES_MAX:
            self._again_s = min(self._again_s * 2, POKE_AGAIN_MAX_S)
            self._poke(now)
        else:
            self._find(Reachability.UNREACHABLE, self._first_at, now)
        self._services.reschedule(self)

    def receive(self, datagram: bytes, now: float) -> None:
        """Take what the peer says to a POKE; all else is dropped.

        Raises:
            FrameError: no full IAX frame.
        """
        frame = parse_frame_untrusted(datagram)
        if not isinstance(frame, FullFrame) or frame.frame_type != FrameType.IAX:
            raise FrameError("no IAX frame outside a call")
        if frame.timestamp_ms not in self._sent_at:
            return
        if frame.subclass == IaxSubclass.PONG:
            self._on_pong(frame, now)
        elif frame.subclass == IaxSubclass.CALLTOKEN and not self._token:
            self._on_calltoken(frame)
        self._services.reschedule(self)

    def _begin(self, now: float) -> None:
        if not self._started_at:
            self._started_at = now
        rtt_s = self.seen.rtt_s
        self._again_s = (
            POKE_AGAIN_FIRST_S
            if rtt_s is None
            else min(max(_RTT_FACTOR * rtt_s, POKE_AGAIN_MIN_S), POKE_AGAIN_MAX_S)
        )
        self._first_at = now
        self._token = b""
        self._poke(now)

    def _poke(self, now: float) -> None:
        timestamp_ms = int((now - self._started_at) * 1000) % TIMESTAMP_MODULUS
        self._sent_at[timestamp_ms] = now
        self.seen = replace(self.seen, pokes=self.seen.pokes + 1)
        self._deadline = now + self._again_s
        self._send_poke(timestamp_ms)

    def _on_pong(self, frame: FullFrame, now: float) -> None:
        if frame.source_call_number != CALL_NUMBER_STATELESS:
            self._acknowledge(frame)
        last_s = now - self._sent_at.pop(frame.timestamp_ms)
        rtt_s = self.seen.rtt_s
        smoothed_s = last_s if rtt_s is None else rtt_s + _RTT_GAIN * (last_s - rtt_s)
        self.seen = replace(
            self.seen, rtt_s=smoothed_s, last_rtt_s=last_s, pongs=self.seen.pongs + 1
        )
        late = smoothed_s > LATE_S
        self._find(Reachability.LATE if late else Reachability.REACHABLE, now, now)

    def _on_calltoken(self, frame: FullFrame) -> None:
        """Send the POKE again with the token, once in a round."""
        self._token = parse_elements_untrusted(frame.data).get(ElementType.CALLTOKEN) or b""
        if self._token:
            self._send_poke(frame.timestamp_ms)

    def _find(self, reachability: Reachability, since: float, now: float) -> None:
        """Take what a round of POKEs has found, and wait for the next."""
        self._sent_at.clear()
        doubtful = reachability is not Reachability.REACHABLE
        interval_s = min(self._interval_s, DOUBTFUL_INTERVAL_S) if doubtful else self._interval_s
        self._deadline = max(self._first_at + interval_s, now)
        if reachability is not self.seen.reachability:
            self.seen = replace(self.seen, reachability=reachability, since=since)
            self._services.emit(ReachabilityChanged(self._name, self.seen))

    def _send_poke(self, timestamp_ms: int) -> None:
        elements = InformationElements.of((ElementType.CALLTOKEN, self._token))
        poke = FullFrame(
            self.call_number,
            CALL_NUMBER_NONE,
            timestamp_ms,
            0,
            0,
            FrameType.IAX,
            IaxSubclass.POKE,
            elements.encode(),
        )
        self._transmit(poke)

    def _acknowledge(self, pong: FullFrame) -> None:
        """Answer a peer that keeps state for a POKE: it would send its PONG again."""
        ack = FullFrame(
            self.call_number,
            pong.source_call_number,
            pong.timestamp_ms,
            1,
            (pong.oseqno + 1) % SEQUENCE_MODULUS,
            FrameType.IAX,
            IaxSubclass.ACK,
        )
        self._transmit(ack)

    def _transmit(self, frame: FullFrame) -> None:
        self._services.transmit(frame.encode(), self.address)
