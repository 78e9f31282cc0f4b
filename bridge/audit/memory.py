"""What is remembered of a dialog in little memory: thousands of dialogs are watched at a time.

Knows nothing of frames. All of it is bounded, whatever it is fed with.
"""

from array import array
from collections.abc import Iterator
from typing import Final

from bridge.iax2.cipher import BLOCK_OCTETS

BLOCKS_MAX: Final = 256
_RING_OCTETS: Final = BLOCKS_MAX * BLOCK_OCTETS
_FINEST_NS: Final = 1_000_000


class RecentBlocks:
    """The newest different cipher blocks."""

    __slots__ = ("_next", "_octets")

    def __init__(self) -> None:
        self._octets = bytearray()
        self._next = 0

    def __len__(self) -> int:
        return len(self._octets) // BLOCK_OCTETS

    def is_repeated(self, block: bytes) -> bool:
        """Tell whether a block is among them, and take in one that is not."""
        if len(block) < BLOCK_OCTETS:
            return False  # cut when it was captured
        at = self._octets.find(block)
        while at >= 0 and at % BLOCK_OCTETS:
            at = self._octets.find(block, at + 1)
        if at >= 0:
            return True
        self._octets[self._next : self._next + BLOCK_OCTETS] = block
        self._next = (self._next + BLOCK_OCTETS) % _RING_OCTETS
        return False


class Timeline:
    """Moments of a few kinds, to be drawn: the more there are, the coarser, but to the end.

    Args:
        most: How many are kept.
    """

    __slots__ = ("_kinds", "_last", "_most", "_times_ns", "_width_ns")

    def __init__(self, most: int) -> None:
        self._most = most
        self._width_ns = _FINEST_NS
        self._empty()

    def __len__(self) -> int:
        return len(self._times_ns)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Give time and kind of each."""
        return zip(self._times_ns, self._kinds, strict=True)

    def add(self, at_ns: int, kind: int) -> None:
        """Take one in, unless one of its kind is drawn there; `at_ns` from 0, `kind` to 255."""
        while self._is_new(at_ns, kind):
            if len(self) < self._most:
                self._append(at_ns, kind)
                return
            self._coarsen()

    def _is_new(self, at_ns: int, kind: int) -> bool:
        return self._last.get(kind) != at_ns // self._width_ns

    def _append(self, at_ns: int, kind: int) -> None:
        self._times_ns.append(at_ns)
        self._kinds.append(kind)
        self._last[kind] = at_ns // self._width_ns

    def _coarsen(self) -> None:
        kept = list(self)
        self._width_ns *= 2
        self._empty()
        for at_ns, kind in kept:
            if self._is_new(at_ns, kind):
                self._append(at_ns, kind)

    def _empty(self) -> None:
        self._times_ns = array("q")
        self._kinds = bytearray()
        self._last: dict[int, int] = {}
