"""The highest count with which each nonce was used, in a bounded memory that is never fooled.

A nonce that was forgotten must not pass for one that was never used. So whatever makes a source
forget a nonce also raises its floor: nonces issued no later than the floor, and not remembered, are
refused. Likewise for all sources together.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

NONCES_PER_SOURCE_MAX = 256
NONCES_MAX = 16_384

_MICROSECONDS = 1e6


@dataclass(slots=True)
class _Source:
    """The nonces of one source: when issued (us) and the highest count, the oldest use first."""

    floor_us: int = -1
    nonces: OrderedDict[str, tuple[int, int]] = field(default_factory=OrderedDict)


class NonceCounts:
    """Takes each count of a nonce once, and only upward.

    Args:
        life_s: How long after its issue a nonce is believed by whoever asks here; what is older
            is forgotten for free.
        per_source: Nonces remembered of one source; the longest unused gives way.
        in_all: Of all sources.
    """

    def __init__(
        self, life_s: float, per_source: int = NONCES_PER_SOURCE_MAX, in_all: int = NONCES_MAX
    ) -> None:
        self._life_us = int(life_s * _MICROSECONDS)
        self._per_source = per_source
        self._in_all = in_all
        self._sources: OrderedDict[str, _Source] = OrderedDict()  # the longest silent first
        self._floor_us = -1
        self._remembered = 0

    def __len__(self) -> int:
        return self._remembered

    def take(self, source: str, nonce: str, issued_us: int, count: int, now: float) -> bool:
        """Whether this use is new; it is then remembered."""
        entry = self._sources.get(source)
        known = entry.nonces.get(nonce) if entry else None
        if known is not None:
            if count <= known[1]:
                return False
        elif issued_us <= max(self._floor_us, entry.floor_us if entry else -1):
            return False
        self._remember(source, nonce, issued_us, count)
        self._forget(int(now * _MICROSECONDS) - self._life_us, self._sources[source])
        return True

    def _remember(self, source: str, nonce: str, issued_us: int, count: int) -> None:
        entry = self._sources.setdefault(source, _Source())
        self._sources.move_to_end(source)
        self._remembered += nonce not in entry.nonces
        entry.nonces[nonce] = (issued_us, count)
        entry.nonces.move_to_end(nonce)

    def _forget(self, dead_us: int, entry: _Source) -> None:
        """Let go of what is too old anyway, then of what is too much, of this source first."""
        self._forget_dead(entry, dead_us)
        while len(entry.nonces) > self._per_source:
            entry.floor_us = max(entry.floor_us, self._pop(entry))
        while self._remembered > self._in_all:
            silent = next(iter(self._sources.values()))
            self._floor_us = max(self._floor_us, self._pop(silent))
            self._drop_first_if_empty(silent)
        first = next(iter(self._sources.values()))
        if first is not entry:
            self._forget_dead(first, dead_us)
            self._drop_first_if_empty(first)

    def _forget_dead(self, entry: _Source, dead_us: int) -> None:
        while entry.nonces and next(iter(entry.nonces.values()))[0] < dead_us:
            self._pop(entry)

    def _pop(self, entry: _Source) -> int:
        """Forget the nonce that was used longest ago; when it was issued."""
        _, (issued_us, _) = entry.nonces.popitem(last=False)
        self._remembered -= 1
        return issued_us

    def _drop_first_if_empty(self, first: _Source) -> None:
        if not first.nonces:
            self._floor_us = max(self._floor_us, first.floor_us)
            self._sources.popitem(last=False)
