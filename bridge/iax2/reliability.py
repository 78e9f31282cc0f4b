"""Reliable delivery of the full frames of one call, in order and once.

Owns sequence numbers, what is not yet acknowledged, when it is sent again, and the round-trip
time. Knows neither keys nor the meaning of a frame.

Source: RFC 5456 sections 7 and 8.1.1; the schedule of retransmissions is ours.
"""

import math
from collections import deque
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from bridge.iax2.cipher import Sealer
from bridge.iax2.frames import FullFrame
from bridge.iax2.timers import (
    HANDSHAKE_RETRANSMISSION_MAX_S,
    RETRANSMISSION_FIRST_S,
    RETRANSMISSION_MAX_S,
    RETRANSMISSION_MIN_S,
    RETRANSMISSIONS_MAX,
)

SEQUENCE_MODULUS: Final = 256
SEQUENCE_WINDOW: Final = 32
"""How far ahead of its place a frame may stand and still be believed."""
OUTSTANDING_MAX: Final = 64
"""Frames without acknowledgement; far fewer than half of the sequence numbers."""

_RTT_GAIN: Final = 0.125
_RTT_FACTOR: Final = 2.0
_PATIENCE_MAX: Final = 4


class Order(Enum):
    """Where a received oseqno stands against the one that is expected next."""

    EXPECTED = auto()
    AHEAD = auto()
    BEHIND = auto()


@dataclass(slots=True)
class Outstanding:
    """A full frame that was sent and is not acknowledged, with the key it was sent under."""

    frame: FullFrame = field(repr=False)
    sealer: Sealer | None
    sent_at: float
    interval_s: float
    tag: object
    deadline: float
    retransmissions: int = 0
    was_repeated: bool = False

    @property
    def is_exhausted(self) -> bool:
        """Whether it was sent again so often that the peer counts as gone."""
        return self.retransmissions > RETRANSMISSIONS_MAX


class ReliableSequence:
    """Both directions of a call's sequence of full frames."""

    __slots__ = (
        "_held",
        "_outstanding",
        "_patience",
        "_sent_timestamps_ms",
        "_vnak_answerable_at",
        "_vnak_sendable_at",
        "acknowledgement_owed",
        "iseqno",
        "oseqno",
        "rtt_s",
    )

    def __init__(self) -> None:
        self.rtt_s: float | None = None
        self.reset()

    def reset(self) -> None:
        """Start both sequences anew, as a caller does when it gets a call token."""
        self.oseqno = 0
        self.iseqno = 0
        self.acknowledgement_owed = False
        self._patience = 1
        self._outstanding: list[Outstanding] = []
        self._held: dict[int, FullFrame] = {}
        self._sent_timestamps_ms: deque[int] = deque(maxlen=SEQUENCE_MODULUS)
        self._vnak_sendable_at = self._vnak_answerable_at = -math.inf

    @property
    def outstanding(self) -> int:
        """How many frames wait for their acknowledgement."""
        return len(self._outstanding)

    @property
    def is_full(self) -> bool:
        """Whether one more frame would leave too many without acknowledgement."""
        return len(self._outstanding) >= OUTSTANDING_MAX

    def record(self, frame: FullFrame, sealer: Sealer | None, now: float, tag: object) -> None:
        """Take note of a frame that was just sent with the current oseqno."""
        interval_s = self.retransmission_interval_s()
        if self._patience > 1:
            interval_s = min(interval_s * self._patience, RETRANSMISSION_MAX_S)
        self._outstanding.append(
            Outstanding(frame, sealer, now, interval_s, tag, deadline=now + interval_s)
        )
        self._sent_timestamps_ms.appendleft(frame.timestamp_ms)  # what comes back is mostly new
        self.oseqno = (self.oseqno + 1) % SEQUENCE_MODULUS
        self.acknowledgement_owed = False

    def has_sent(self, timestamp_ms: int) -> bool:
        """Tell whether one of the last 256 frames carried a timestamp, so that it is echoed.

        Those of voice, PONG and LAGRP are not on our clock; all come back in their ACK.
        """
        return timestamp_ms in self._sent_timestamps_ms

    def acknowledge(self, iseqno: int, now: float) -> list[Outstanding]:
        """Drop and return the frames that a received iseqno acknowledges, oldest first.

        The round-trip time is measured on frames that were sent once only, and until one is, new
        frames are waited for longer (Karn's rule): else nothing would be measured of a path that
        has become slow, and all of its frames would be sent twice. One that waited behind a lost
        frame tells nothing of the path.
        """
        outstanding = self._outstanding
        count = (iseqno - self.oseqno + len(outstanding)) % SEQUENCE_MODULUS
        if not 0 < count <= len(outstanding):
            return []
        acknowledged = outstanding[:count]
        del outstanding[:count]
        newest = acknowledged[-1]
        if not newest.was_repeated:
            if not any(arrived.was_repeated for arrived in acknowledged):
                self.measure_rtt(now - newest.sent_at, at_once=self._patience > 1)
            self._patience = 1
        return acknowledged

    def drop_outstanding(self) -> None:
        """Forget what waits for its acknowledgement: nobody will give it."""
        self._outstanding.clear()

    def order_of(self, oseqno: int) -> Order:
        """Place a received oseqno."""
        ahead = (oseqno - self.iseqno) % SEQUENCE_MODULUS
        if ahead == 0:
            return Order.EXPECTED
        return Order.AHEAD if ahead < SEQUENCE_MODULUS // 2 else Order.BEHIND

    def accept(self) -> None:
        """Count the expected frame as received; an acknowledgement is owed for it.

        A copy that came early must not be taken for the frame of that number 256 frames later.
        """
        self._held.pop(self.iseqno, None)
        self.iseqno = (self.iseqno + 1) % SEQUENCE_MODULUS
        self.acknowledgement_owed = True

    def hold(self, frame: FullFrame) -> None:
        """Keep a frame that came before its turn; only a window's worth is kept."""
        if (frame.oseqno - self.iseqno) % SEQUENCE_MODULUS <= SEQUENCE_WINDOW:
            self._held[frame.oseqno] = frame

    def pop_held(self) -> FullFrame | None:
        """Return the frame that is expected now, where it came before its turn."""
        return self._held.pop(self.iseqno, None)

    def has_plausible_numbers(self, oseqno: int, iseqno: int) -> bool:
        """Tell whether a peer in this call could have sent these sequence numbers."""
        ahead = (oseqno - self.iseqno) % SEQUENCE_MODULUS
        unacknowledged = (self.oseqno - iseqno) % SEQUENCE_MODULUS
        return (
            ahead <= SEQUENCE_WINDOW or ahead >= SEQUENCE_MODULUS - OUTSTANDING_MAX
        ) and unacknowledged <= OUTSTANDING_MAX + SEQUENCE_WINDOW

    def may_send_vnak(self, now: float) -> bool:
        """Tell, at most once in two round trips, that a VNAK may go out.

        Asterisk answers each VNAK with all that is outstanding; two peers can storm.
        """
        if now < self._vnak_sendable_at:
            return False
        self._vnak_sendable_at = now + self.retransmission_interval_s()
        return True

    def next_deadline(self) -> float | None:
        """Return when the next retransmission is due."""
        outstanding = self._outstanding
        if len(outstanding) > 1:
            return min([waiting.deadline for waiting in outstanding])
        return outstanding[0].deadline if outstanding else None

    def due(self, now: float, *, handshake: bool = False) -> list[Outstanding]:
        """Return the frames to send again now, oldest first, and schedule their next time.

        Those of a handshake are sent again each second and never exhausted: the handshake has a
        timer of its own, and under loss a wait that doubles would leave it four tries in all.
        """
        due = [waiting for waiting in self._outstanding if waiting.deadline <= now]
        interval_max_s = HANDSHAKE_RETRANSMISSION_MAX_S if handshake else RETRANSMISSION_MAX_S
        if due and not handshake:
            self._patience = min(self._patience * 2, _PATIENCE_MAX)
        for waiting in due:
            waiting.retransmissions += not handshake
            waiting.was_repeated = True
            waiting.interval_s = min(waiting.interval_s * 2, interval_max_s)
            waiting.deadline = now + waiting.interval_s
        return due

    def answer_vnak(self, iseqno: int, now: float) -> list[Outstanding]:
        """Return the frames that a VNAK asks for: all from that sequence number on.

        At most once in two round trips, so that two peers cannot storm.
        """
        if now < self._vnak_answerable_at:
            return []
        self._vnak_answerable_at = now + self.retransmission_interval_s()
        wanted = [
            waiting
            for waiting in self._outstanding
            if (waiting.frame.oseqno - iseqno) % SEQUENCE_MODULUS < SEQUENCE_MODULUS // 2
        ]
        for waiting in wanted:
            waiting.was_repeated = True
        return wanted

    def measure_rtt(self, sample_s: float, *, at_once: bool = False) -> None:
        """Smooth one measurement into the round-trip time, or believe a longer one at once."""
        if self.rtt_s is None or (at_once and sample_s > self.rtt_s):
            self.rtt_s = sample_s
        else:
            self.rtt_s += _RTT_GAIN * (sample_s - self.rtt_s)

    def retransmission_interval_s(self) -> float:
        """Return how long to wait for the first acknowledgement of a new frame."""
        if self.rtt_s is None:
            return RETRANSMISSION_FIRST_S
        interval_s = _RTT_FACTOR * self.rtt_s
        if interval_s <= RETRANSMISSION_MIN_S:
            return RETRANSMISSION_MIN_S  # nearly always
        return min(interval_s, RETRANSMISSION_MAX_S)
