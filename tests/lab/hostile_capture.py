"""A capture that fills every table of the audit with as much as it takes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bridge.audit.memory import BLOCKS_MAX
from bridge.audit.observing import FIELDS_MAX, ROTATIONS_MAX, RTKEY_OCTETS, RUNS_MAX, SIGNALS_MAX
from bridge.audit.packets import Datagram, Peer
from bridge.audit.wire import SIGNAL_OCTETS
from bridge.audit.writer import PcapWriter
from bridge.iax2.constants import ElementType, FrameType, IaxSubclass
from bridge.iax2.elements import InformationElements
from bridge.iax2.frames import FullFrame

FAR: Final[Peer] = (b"\x7f\0\0\2", 4569)
_CALLER, _CALLEE = 5, 6
_BURST: Final = 8
_MS: Final = 1_000_000


def write_hostile(path: Path, dialogs: int) -> None:
    """Write so many dialogs, one after the other."""
    with path.open("wb") as file:
        writer = PcapWriter(file)
        for number in range(dialogs):
            near = ((0x0A000000 + number).to_bytes(4, "big"), 4569)
            for at_ms, (from_caller, octets) in enumerate(_frames()):
                ways = (near, FAR) if from_caller else (FAR, near)
                at_ns = _at_ms(at_ms) * _MS
                writer.write(Datagram(at_ns, *ways, octets, len(octets)))


def _at_ms(frame: int) -> int:
    """Bursts of a few frames, each with pauses between that end it: no two of them are one."""
    burst, within = divmod(frame, _BURST)
    return burst * 3_000 + within * 100


def _frames() -> Iterator[tuple[bool, bytes]]:
    yield True, _iax(IaxSubclass.NEW, (ElementType.CALLED_NUMBER, "4930123"))
    for count in range(FIELDS_MAX):
        value = f"{count:03}=" + "x" * 250
        yield True, _iax(IaxSubclass.NEW, (ElementType.VARIABLE, value), again=True)
    yield False, _full(_noise(SIGNAL_OCTETS, 0), from_caller=False)
    for from_caller in (True, False):
        for count in range(max(SIGNALS_MAX, BLOCKS_MAX) + 2):
            yield from_caller, _full(_noise(SIGNAL_OCTETS, count), from_caller=from_caller)
        for count in range(ROTATIONS_MAX + 2):
            yield from_caller, _full(_noise(RTKEY_OCTETS, -count - 1), from_caller=from_caller)
        for count in range(2 * RUNS_MAX):
            number = _CALLER if from_caller else _CALLEE
            yield from_caller, number.to_bytes(2, "big") + _noise(34 + 16 * (count % 20), count)[2:]
        for kind in range(100, 100 + FIELDS_MAX):
            yield (
                from_caller,
                _full(FullFrame(0, 0, 5, 0, 0, kind, 1, b"x").encode(), from_caller=from_caller),
            )


def _iax(subclass: IaxSubclass, element: tuple[ElementType, str], *, again: bool = False) -> bytes:
    data = InformationElements.of(element).encode()
    octets = FullFrame(_CALLER, 0, 5, 0, 0, FrameType.IAX, subclass, data).encode()
    return octets[:2] + bytes((octets[2] | 0x80 * again,)) + octets[3:]


def _full(octets: bytes, *, from_caller: bool) -> bytes:
    ours, theirs = (_CALLER, _CALLEE) if from_caller else (_CALLEE, _CALLER)
    return (0x8000 | ours).to_bytes(2, "big") + theirs.to_bytes(2, "big") + octets[4:]


def _noise(octets: int, seed: int) -> bytes:
    """Octets that no frame in clear has, different for each seed."""
    block = (0xE3_5A_00_00_00_00_00_00 + seed).to_bytes(8, "big")
    return (block * (octets // 8 + 1))[:octets]
