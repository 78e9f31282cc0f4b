"""What passed between IAX2 endpoints, written frame by frame for whoever reads a failed test.

Knows the secrets, follows challenges and rotations as they pass, and shows what it cannot
decrypt as what it is. It costs nothing until it is read.
"""

from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from bridge.iax2 import Address
from bridge.iax2.constants import ControlSubclass, ElementType, FrameType, IaxSubclass
from bridge.iax2.elements import parse_elements_untrusted
from bridge.iax2.errors import FrameError
from bridge.iax2.frames import FullFrame, MiniFrame, parse_frame_untrusted
from bridge.iax2.plausibility import is_known
from bridge.iax2.voice import FRAME_OCTETS
from tests.vectors.reference import clear_octets, reference_decrypt, reference_key

_BLOCK_OCTETS: Final = 16
_ENCRYPTED_MIN_OCTETS: Final = 32
_USUAL_TYPES: Final = (
    FrameType.IAX,
    FrameType.VOICE,
    FrameType.CONTROL,
    FrameType.DTMF_BEGIN,
    FrameType.DTMF_END,
    FrameType.CNG,
)
_AUTHREQ: Final = bytes((FrameType.IAX, IaxSubclass.AUTHREQ))


@dataclass(frozen=True, slots=True)
class Passed:
    """A datagram on its way; `fate` says what became of it where that is not plain delivery."""

    at: float
    source: Address
    destination: Address
    data: bytes = field(repr=False)
    fate: str = ""


class FrameTrace:
    """The newest datagrams; all calls between the same two addresses share their keys.

    Args:
        secrets: Those that answer the challenges that pass.
        newest: How many datagrams are kept.

    Attributes:
        keys: Those that were agreed on before the first datagram.
    """

    def __init__(self, *secrets: bytes, newest: int = 400) -> None:
        self.keys: list[bytes] = []
        self._secrets = secrets
        self._passed: deque[Passed] = deque(maxlen=newest)
        self._challenges: deque[Passed] = deque(maxlen=newest)

    def note(self, passed: Passed) -> None:
        """Take a datagram; challenges are kept longer, since they are needed to read on."""
        self._passed.append(passed)
        if passed.data[10:12] == _AUTHREQ:
            self._challenges.append(passed)

    def lines(self) -> Iterator[str]:
        """Give a line for each datagram, oldest first."""
        reader = _Reader(self._secrets, self.keys)
        for challenge in self._challenges:
            reader.read(challenge)
        for passed in self._passed:
            yield reader.read(passed)


class _Reader:
    """Decrypts with every key that the two addresses have had, newest first."""

    def __init__(self, secrets: tuple[bytes, ...], keys: list[bytes]) -> None:
        self._secrets = secrets
        self._keys: dict[frozenset[Address], list[bytes]] = defaultdict(lambda: list(keys))

    def read(self, passed: Passed) -> str:
        way = f"{passed.at:12.3f} {passed.source[0]:>12} > {passed.destination[0]:<12}"
        frame, mark = self._open(passed)
        if isinstance(frame, FullFrame):
            self._learn(passed, frame)
        return f"{way} {mark} {_text(frame, passed.data)}{passed.fate and ' ' + passed.fate}"

    def _open(self, passed: Passed) -> tuple[FullFrame | MiniFrame | None, str]:
        """Return the frame and `*` where it was encrypted; None where nothing reads it."""
        start = clear_octets(passed.data) if passed.data else 0
        encrypted = len(passed.data) - start
        if encrypted >= _ENCRYPTED_MIN_OCTETS and not encrypted % _BLOCK_OCTETS:
            for key in reversed(self._keys[frozenset((passed.source, passed.destination))]):
                _, body = reference_decrypt(key, passed.data[start:])
                frame = _parse(passed.data[:start] + body)
                if frame is not None and _is_sound(frame):
                    return frame, "*"
        frame = _parse(passed.data)
        clear = isinstance(frame, FullFrame) and frame.frame_type == FrameType.IAX
        return (frame if clear else None), " "

    def _learn(self, passed: Passed, frame: FullFrame) -> None:
        if frame.frame_type != FrameType.IAX:
            return
        try:
            challenge = parse_elements_untrusted(frame.data).get(ElementType.CHALLENGE)
        except FrameError:
            return
        keys = self._keys[frozenset((passed.source, passed.destination))]
        found = {
            int(IaxSubclass.AUTHREQ): [
                reference_key(challenge or b"", each) for each in self._secrets
            ],
            int(IaxSubclass.RTKEY): [challenge]
            if challenge and len(challenge) == _BLOCK_OCTETS
            else [],
        }.get(frame.subclass, [])
        keys += [key for key in found if key and key not in keys]


def _is_sound(frame: FullFrame | MiniFrame) -> bool:
    """Tell a frame from what a wrong key makes of it, but for a few in a hundred."""
    if isinstance(frame, MiniFrame):
        return len(frame.data) in FRAME_OCTETS.values()
    return frame.frame_type in _USUAL_TYPES and is_known(frame)


def _parse(octets: bytes) -> FullFrame | MiniFrame | None:
    try:
        return parse_frame_untrusted(octets)
    except FrameError:
        return None


def _text(frame: FullFrame | MiniFrame | None, data: bytes) -> str:
    match frame:
        case None:
            return f"unreadable, {len(data)} octets: {data[:16].hex()}"
        case MiniFrame():
            return (
                f"MINI call {frame.source_call_number} ts16 {frame.timestamp_ms}"
                f" {len(frame.data)} octets"
            )
        case FullFrame():
            return (
                f"{_name(frame):<14} call {frame.source_call_number}->"
                f"{frame.destination_call_number}{' R' if frame.retransmission else ''}"
                f" ts {frame.timestamp_ms} oseq {frame.oseqno} iseq {frame.iseqno}"
                f" {len(frame.data)} octets"
            )


def _name(frame: FullFrame) -> str:
    """Return type and subclass in words; a digit, which is a test's own, in full."""
    try:
        match FrameType(frame.frame_type):
            case FrameType.IAX:
                return IaxSubclass(frame.subclass).name
            case FrameType.CONTROL:
                return f"CONTROL {ControlSubclass(frame.subclass).name}"
            case FrameType.DTMF_BEGIN | FrameType.DTMF_END as digit:
                return f"{digit.name} {chr(frame.subclass)}"
            case other:
                return f"{other.name} {frame.subclass}"
    except ValueError:
        return f"type {frame.frame_type} subclass {frame.subclass}"
