"""From datagrams on a link to calls, as an eavesdropper does it: call numbers are in clear.

Owns the reading of what link_recorder noted. It knows no key and no digit.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from tests.leak.link_recorder import NOTE

WATCHED_S: Final = 10.0
"""How much of each call is looked at."""
_FULL: Final = 0x8000
_NUMBER: Final = 0x7FFF
_IAX_NEW: Final = b"\x06\x01"
_SAME_CALL_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class Seen:
    """One datagram of a call: ms after its NEW, ours or the peer's, octets, full or mini frame."""

    at_ms: int
    ours: bool
    octets: int
    full: bool


@dataclass(slots=True)
class SeenCall:
    """What was seen of one call."""

    began_at_s: float
    datagrams: list[Seen] = field(default_factory=list, repr=False)

    def see(self, at_s: float, octets: int, *, ours: bool, full: bool) -> None:
        """Notes a datagram of the first seconds."""
        after_s = at_s - self.began_at_s
        if after_s < WATCHED_S:
            self.datagrams.append(Seen(round(after_s * 1000), ours, octets, full))


class Sorter:
    """Gives each datagram to its call."""

    def __init__(self) -> None:
        self.calls: list[SeenCall] = []
        self._of_bridge: dict[int, SeenCall] = {}
        self._of_peer: dict[int, SeenCall] = {}

    def take(self, at_s: float, octets: int, header: bytes, *, ours: bool) -> None:
        """Takes the next datagram."""
        source = int.from_bytes(header[:2], "big")
        full = bool(source & _FULL)
        call = self._call_of(at_s, header, ours=ours, full=full)
        if call is not None:
            call.see(at_s, octets, ours=ours, full=full)

    def _call_of(self, at_s: float, header: bytes, *, ours: bool, full: bool) -> SeenCall | None:
        source = int.from_bytes(header[:2], "big") & _NUMBER
        other = int.from_bytes(header[2:4], "big") & _NUMBER
        if ours:
            if full and other == 0 and header[10:12] == _IAX_NEW:
                self._begin(source, at_s)
            return self._of_bridge.get(source)
        if not full:
            return self._of_peer.get(source)
        call = self._of_bridge.get(other)
        if call is not None and source > 1:  # 1 is where call tokens come from
            self._of_peer[source] = call
        return call

    def _begin(self, number: int, at_s: float) -> None:
        """A NEW begins a call, unless it is the same one's again, with its token."""
        known = self._of_bridge.get(number)
        if known is None or at_s - known.began_at_s > _SAME_CALL_S:
            self._of_bridge[number] = SeenCall(at_s)
            self.calls.append(self._of_bridge[number])


def sort_calls(notes: bytes) -> Sequence[SeenCall]:
    """All calls of a recording, in the order in which they began."""
    sorter = Sorter()
    for at_s, from_bridge, octets, header in sorted(_notes(notes), key=lambda note: note[0]):
        sorter.take(at_s, octets, header, ours=bool(from_bridge))
    return sorter.calls


def _notes(notes: bytes) -> Iterator[tuple[float, int, int, bytes]]:
    return iter(NOTE.iter_unpack(notes))
