"""Places on the clock: which calls share slots, and when each call's sockets are read.

Owns the choice of a call's phase, and the one change of it. A call gets its phase when it is
connected, mostly before its phone has sent anything; a frame would wait 10 ms for its slot on
average. So once, at a time that the call's owner sets, it moves to a slot close behind the phone's
packets. What the link shows of that tells of the phone where in 20 ms its packets come, to 5 ms,
and nothing else: each call of a link moves at the same time after its answer, and where no packets
come, as if some had come at a random time.

Must not know packets or codecs.
"""

import math
import secrets
from collections.abc import Iterator
from heapq import heappop, heappush
from itertools import count
from select import EPOLLIN, epoll
from typing import Final

from bridge.iax2.auth import Address
from bridge.media.call_media import CallMedia
from bridge.media.pacing import FRAME_MS, PHASES, PhaseClock

FLOWING_S: Final = 0.1
"""A phone whose last packet is older is not flowing: its arrivals say nothing about the next."""
LISTEN_SLOTS: Final = 4
"""So long before it moves, a call's sockets are read at once: to know when packets arrive."""

_FRAME_S: Final = FRAME_MS / 1000
_ROUNDING: Final = 0.001


class Phase:
    """The calls that share slots: their sockets, their batches by peer, and those that speak."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.epoll = epoll()
        # Tuples, replaced rather than changed: a call may come or go while they are iterated.
        self.batches: tuple[tuple[Address, tuple[CallMedia, ...]], ...] = ()
        self.speakers: tuple[CallMedia, ...] = ()
        self.listening: set[CallMedia] = set()  # about to move: their sockets are read at once
        self.moves: list[tuple[int, int, CallMedia]] = []  # a heap, by the slot that is due

    def add(self, media: CallMedia, peer: Address) -> None:
        """Let a call send in the slots to come."""
        batches = dict(self.batches)
        batches[peer] = (*batches.get(peer, ()), media)
        self.batches = tuple(batches.items())

    def remove(self, media: CallMedia) -> None:
        """Let a call neither send nor speak any more."""
        batches = ((peer, without(calls, media)) for peer, calls in self.batches)
        self.batches = tuple((peer, calls) for peer, calls in batches if calls)
        self.speakers = without(self.speakers, media)
        self.listening.discard(media)
        if not self.batches:
            self.moves.clear()  # those of calls that are over, which nobody else knows any more


class Phases:
    """All phases, and the sockets of calls that are in none."""

    def __init__(self) -> None:
        self.clock = PhaseClock()
        self.unpaced = epoll()
        self._phases = tuple(map(Phase, range(PHASES)))
        self._number = count()

    def due(self, now: float) -> Iterator[tuple[Phase, range]]:
        """Yield each running phase with its slots that have begun since the last time."""
        for index, slots in self.clock.due(now):
            yield self._phases[index], slots

    def of(self, media: CallMedia) -> Phase | None:
        """Return the phase of a call, None before it has one."""
        return None if media.phase is None else self._phases[media.phase]

    def watch(self, media: CallMedia) -> None:
        """Have a call's sockets read: before its slots, or at once while it has none."""
        phase = self.of(media)
        sockets = self.unpaced if phase is None or media in phase.listening else phase.epoll
        for bound in (media.ports.rtp, media.ports.rtcp):
            sockets.register(bound, EPOLLIN)

    def pace(self, media: CallMedia, now: float) -> Phase:
        """Put a call on the clock that is not there yet; returns its phase."""
        arrived_at = media.last_rtp_at
        flowing = arrived_at is not None and now - arrived_at < FLOWING_S
        self._unwatch(media, self.unpaced)
        media.phase = index = self.clock.choose(arrived_at if flowing else None)
        self.clock.join(index, now)
        self.watch(media)
        return self._phases[index]

    def leave(self, media: CallMedia) -> None:
        """Take a call off the clock; its sockets are somebody else's to close."""
        if (phase := self.of(media)) is not None:
            self.clock.leave(phase.index)
            phase.remove(media)

    def settle_at(self, media: CallMedia, when: float) -> None:
        """Let a call move close behind its phone's packets in its first slot from a time on."""
        if (phase := self.of(media)) is not None:
            slot = self.clock.slot_begun(phase.index, when) + 1
            self._move_after(phase, slot - LISTEN_SLOTS, media)

    def _move_after(self, phase: Phase, slot: int, media: CallMedia) -> None:
        heappush(phase.moves, (slot, next(self._number), media))

    def due_to_move(self, phase: Phase, slot: int) -> Iterator[CallMedia]:
        """Yield the calls that `move` is to be called for, now that a slot of theirs was sent."""
        moves = phase.moves
        while moves and moves[0][0] <= slot:
            _, _, media = heappop(moves)
            if not media.closed and media.phase == phase.index:
                yield media

    def move(self, media: CallMedia, phase: Phase, slot: int) -> None:
        """Begin to look when a call's packets arrive; the second time, give it its new phase."""
        if media in phase.listening:
            self._change(media, phase, slot)
        else:
            self._unwatch(media, phase.epoll)
            phase.listening.add(media)
            self.watch(media)
            media.buffer.shrink()
            self._move_after(phase, slot + LISTEN_SLOTS, media)

    def _change(self, media: CallMedia, before: Phase, slot: int) -> None:
        """Let the frame of the next slot leave sooner, or a bit later, and so on from there."""
        arrives_at = self._next_arrival(media, self.clock.begin_of(before.index, slot + 1))
        self.clock.leave(before.index)
        index = self.clock.choose(arrives_at)
        first = self.clock.slot_close_to(index, arrives_at)
        if self.clock.has_run(index, first):
            # Late by more than the move makes up for, which would leave a frame out.
            self.clock.join(before.index, self.clock.begin_of(before.index, slot))
            self._move_after(before, slot + 1, media)
            return
        # A frame that was kept for a slot too close to its arrival waits here no longer.
        media.buffer.shrink()
        speaks = media in before.speakers
        before.remove(media)
        self.clock.join(index, self.clock.begin_of(index, first - 1))
        media.phase, media.first_slot = index, first
        media.origin_ms += (slot + 1 - first) * FRAME_MS  # timestamps go on as they were
        self._unwatch(media, self.unpaced)
        self.watch(media)
        after = self._phases[index]
        if media.path is not None:
            after.add(media, media.path.route[0])
        if speaks:
            after.speakers = (*after.speakers, media)

    @staticmethod
    def _next_arrival(media: CallMedia, slot_at: float) -> float:
        """Return when the packet that a slot would take arrives, or a random such time."""
        arrived_at = media.last_rtp_at
        if arrived_at is None or slot_at - arrived_at > _FRAME_S + FLOWING_S:
            return slot_at - secrets.SystemRandom().uniform(0, _FRAME_S)
        # What a slot itself has read counts as of its begin, which no rounding may take for later.
        return arrived_at + math.floor((slot_at - arrived_at) / _FRAME_S + _ROUNDING) * _FRAME_S

    @staticmethod
    def _unwatch(media: CallMedia, sockets: epoll) -> None:
        for bound in (media.ports.rtp, media.ports.rtcp):
            sockets.unregister(bound)

    def close(self) -> None:
        """Close all descriptors."""
        for sockets in (self.unpaced, *(phase.epoll for phase in self._phases)):
            sockets.close()


def without(calls: tuple[CallMedia, ...], media: CallMedia) -> tuple[CallMedia, ...]:
    """Return calls but for one."""
    if media not in calls:
        return calls
    at = calls.index(media)
    return calls[:at] + calls[at + 1 :]
