"""Sorts datagrams into IAX2 dialogs: calls, registrations and qualifying.

Owns who is the caller of what. Its table is bounded: when too many dialogs are open, the one
that was silent longest is let go, and counted. Reads only what stands in clear in every frame.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final

from bridge.audit.packets import Datagram, Peer
from bridge.audit.wire import ENCRYPTED_MIN_OCTETS
from bridge.iax2.cipher import BLOCK_OCTETS, MINI_CLEAR_OCTETS
from bridge.iax2.constants import (
    CALL_NUMBER_NONE,
    CALL_NUMBER_STATELESS,
    DEFAULT_PORT,
    ElementType,
    FrameType,
    IaxSubclass,
)

OPEN_DIALOGS_MAX: Final = 2_000
PEER_PAIRS_MAX: Final = 10_000

_FULL_OCTETS: Final = 12
_MINI_OCTETS: Final = 4
_NUMBER_MASK: Final = 0x7FFF
_RETRANSMISSION: Final = 0x80
_BEGINS_CALL: Final = bytes((FrameType.IAX, IaxSubclass.NEW, ElementType.VERSION, 2))
_BEGINNINGS: Final = frozenset({IaxSubclass.NEW, IaxSubclass.REGREQ, IaxSubclass.POKE})

_Key = tuple[Peer, Peer, int]


@dataclass(slots=True)
class Dialog:
    """Two peers, and the call number that each gave it; `number` counts from 1 in the capture.

    `caller` is who sent the first frame that the capture has; where `begun` is False that frame was
    not the dialog's first, and the roles may be the other way round.
    """

    number: int
    caller: Peer
    callee: Peer
    caller_number: int
    callee_number: int
    begun: bool
    keys: list[_Key] = field(default_factory=list, repr=False)


class Dialogs:
    """The table. `evicted` counts dialogs that were let go, `orphans` mini frames of no dialog."""

    def __init__(
        self, ports: frozenset[int] = frozenset(), evict: Callable[[Dialog], object] | None = None
    ) -> None:
        self._ports = ports | {DEFAULT_PORT}
        self._evict = evict
        self._by_key: dict[_Key, Dialog] = {}
        self._open: OrderedDict[int, Dialog] = OrderedDict()
        self._pairs: set[tuple[Peer, Peer]] = set()
        self._count = 0
        self.evicted = 0
        self.orphans = 0

    def is_iax2(self, datagram: Datagram) -> bool:
        """Tell whether it is worth a look: IAX2's port, or peers who placed a call on another."""
        source, destination = datagram.source, datagram.destination
        if source[1] in self._ports or destination[1] in self._ports:
            return True
        if (source, destination) in self._pairs:
            return True
        octets = datagram.octets
        if len(octets) < _FULL_OCTETS or not octets[0] & 0x80 or octets[10:14] != _BEGINS_CALL:
            return False
        if len(self._pairs) < PEER_PAIRS_MAX:
            self._pairs |= {(source, destination), (destination, source)}
        return True

    def split(self, datagram: Datagram) -> list[Datagram]:
        """Return the mini frames of a batch, or what is none as it is.

        Where the kernel sends or takes datagrams in batches (UDP_SEGMENT, UDP_GRO), a capture on
        that machine shows each batch as one long datagram. Frames are believed to begin where the
        call numbers of open calls stand.
        """
        octets, source, destination = datagram.octets, datagram.source, datagram.destination
        if len(octets) != datagram.original_octets:
            return [datagram]
        for size in _sizes_in_batch(len(octets)):
            parts = [octets[at : at + size] for at in range(0, len(octets), size)]
            numbers = (int.from_bytes(part[:2], "big") for part in parts)
            if all((source, destination, number) in self._by_key for number in numbers):
                return [replace(datagram, octets=p, original_octets=size) for p in parts]
        return [datagram]

    def find(self, datagram: Datagram) -> Dialog | None:
        """Return the dialog that a datagram belongs to; None for what is no frame, or of none."""
        octets = datagram.octets
        if len(octets) < _MINI_OCTETS:
            return None
        number = int.from_bytes(octets[:2], "big")
        if number & 0x8000:
            dialog = self._of_full(datagram, number & _NUMBER_MASK) if number != 0x8000 else None  # noqa: PLR2004
        else:
            dialog = self._by_key.get((datagram.source, datagram.destination, number))
            self.orphans += dialog is None and number != CALL_NUMBER_NONE
        if dialog is not None:
            self._open.move_to_end(dialog.number)
        return dialog

    def _of_full(self, datagram: Datagram, number: int) -> Dialog | None:
        if len(datagram.octets) < _FULL_OCTETS:
            return None
        source, destination = datagram.source, datagram.destination
        theirs = int.from_bytes(datagram.octets[2:4], "big") & _NUMBER_MASK
        ours = self._by_key.get((source, destination, number))
        if theirs == CALL_NUMBER_NONE:
            return self._beginning(datagram, number, ours)
        if ours is not None and _fits(ours, source, number, theirs):
            return ours
        other = self._by_key.get((destination, source, theirs))
        if other is not None and self._answers(other, datagram, number):
            return other
        if CALL_NUMBER_STATELESS in {number, theirs}:
            return ours or other
        return self._open_dialog(datagram, number, theirs, begun=False)

    def _beginning(self, datagram: Datagram, number: int, known: Dialog | None) -> Dialog | None:
        """A frame to nobody yet: a new dialog, or once more the first frame of one."""
        octets = datagram.octets
        again = bool(octets[2] & _RETRANSMISSION) or (known is not None and not known.callee_number)
        if known is not None and again:
            return known
        if octets[10] != FrameType.IAX or octets[11] not in _BEGINNINGS:
            return None
        return self._open_dialog(datagram, number, CALL_NUMBER_NONE, begun=True)

    def _answers(self, dialog: Dialog, datagram: Datagram, number: int) -> bool:
        """Tell whether a frame is of that dialog; its first one teaches the callee's number."""
        if number == CALL_NUMBER_STATELESS:
            return True
        if datagram.source == dialog.callee and dialog.callee_number == CALL_NUMBER_NONE:
            dialog.callee_number = number
            self._enter(dialog, (datagram.source, datagram.destination, number))
            return True
        return False

    def _open_dialog(self, datagram: Datagram, ours: int, theirs: int, *, begun: bool) -> Dialog:
        if len(self._open) >= OPEN_DIALOGS_MAX:
            self._let_go()
        self._count += 1
        source, destination = datagram.source, datagram.destination
        dialog = Dialog(self._count, source, destination, ours, theirs, begun)
        self._open[dialog.number] = dialog
        self._enter(dialog, (source, destination, ours))
        if theirs != CALL_NUMBER_NONE:
            self._enter(dialog, (destination, source, theirs))
        return dialog

    def _enter(self, dialog: Dialog, key: _Key) -> None:
        self._by_key[key] = dialog
        dialog.keys.append(key)

    def _let_go(self) -> None:
        _, dialog = self._open.popitem(last=False)
        for key in dialog.keys:
            if self._by_key.get(key) is dialog:
                del self._by_key[key]
        self.evicted += 1
        if self._evict is not None:
            self._evict(dialog)


@lru_cache(maxsize=1024)
def _sizes_in_batch(octets: int) -> tuple[int, ...]:
    """Return the sizes of encrypted mini frames that a batch of so many octets can be made of."""
    sizes = range(MINI_CLEAR_OCTETS + ENCRYPTED_MIN_OCTETS, octets // 2 + 1, BLOCK_OCTETS)
    return tuple(size for size in sizes if octets % size == 0)


def _fits(dialog: Dialog, source: Peer, ours: int, theirs: int) -> bool:
    """Tell whether both call numbers are those of the dialog: numbers are used again."""
    numbers = (dialog.caller_number, dialog.callee_number)
    return (ours, theirs) == (numbers if source == dialog.caller else numbers[::-1])
