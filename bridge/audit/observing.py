"""What was seen of each dialog, collected frame by frame in bounded memory, without any secret."""

from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from typing import Final

from bridge.audit.dialogs import Dialog
from bridge.audit.packets import Datagram
from bridge.audit.wire import (
    SIGNAL_OCTETS,
    Kind,
    Reading,
    clear_frame,
    is_encrypted_size,
    read_datagram,
)
from bridge.iax2.cipher import BLOCK_OCTETS, FULL_CLEAR_OCTETS, MINI_CLEAR_OCTETS
from bridge.iax2.constants import DTMF_DIGITS, FrameType, IaxSubclass

CALLER: Final = "caller"
CALLEE: Final = "callee"
RTKEY_OCTETS: Final = 52
GAP_NS: Final = 60_000_000
"""Audio that pauses longer than two lost frames."""
SIGNALS_MAX: Final = 1024
MARKS_MAX: Final = 600
RUNS_MAX: Final = 300
SIZES_MAX: Final = 16
FIELDS_MAX: Final = 64
DIGITS_MAX: Final = 128

_BLOCKS_MAX: Final = 256
_ACK_WITHIN_NS: Final = (60_000_000, 1_000_000_000)
"""How long an ACK is waited for, at least and at most; between them it is as the set-up took."""
_ACK_LATER: Final = 4
_AUTHREQ: Final = IaxSubclass.AUTHREQ.name
_AUTHREP: Final = IaxSubclass.AUTHREP.name
_OTHERS: Final = "of other kinds"


@dataclass(slots=True)
class Side:
    """What one side, the caller or the callee, sent; times in nanoseconds since 1970."""

    name: str
    encrypted: int = 0
    clear: int = 0
    audio_encrypted: int = 0
    audio_clear: int = 0
    audio_sizes: Counter[int] = field(default_factory=Counter)
    audio_runs: list[list[int]] = field(default_factory=list, repr=False)
    gaps: int = 0
    signals_ns: list[int] = field(default_factory=list, repr=False)
    rotations_ns: list[int] = field(default_factory=list)
    repeated_blocks: int = 0
    repeats: int = 0
    owed_ns: list[int] = field(default_factory=list, repr=False)
    ack_within_ns: int = _ACK_WITHIN_NS[1]
    blocks: OrderedDict[bytes, None] = field(default_factory=OrderedDict, repr=False)

    def answered_after(self, elapsed_ns: int) -> None:
        """Learn from the set-up how fast this side answers, as seen where the capture was made."""
        low, high = _ACK_WITHIN_NS
        self.ack_within_ns = min(max(_ACK_LATER * elapsed_ns, low), high)

    def audio(self, datagram: Datagram, *, encrypted: bool) -> None:
        """Note a frame of audio."""
        if encrypted:
            self.audio_encrypted += 1
            self._block(datagram.octets[2 : 2 + BLOCK_OCTETS])
        else:
            self.audio_clear += 1
        size = datagram.original_octets
        if size in self.audio_sizes or len(self.audio_sizes) < SIZES_MAX:
            self.audio_sizes[size] += 1
        self._run(datagram.at_ns)

    def _run(self, at_ns: int) -> None:
        if self.audio_runs and at_ns - self.audio_runs[-1][1] <= GAP_NS:
            self.audio_runs[-1][1] = max(at_ns, self.audio_runs[-1][1])
            return
        self.gaps += bool(self.audio_runs)
        if len(self.audio_runs) < RUNS_MAX:
            self.audio_runs.append([at_ns, at_ns])
        else:
            self.audio_runs[-1][1] = at_ns

    def _block(self, block: bytes) -> None:
        if block in self.blocks:
            self.repeated_blocks += 1
            self.blocks.move_to_end(block)
            return
        self.blocks[block] = None
        if len(self.blocks) > _BLOCKS_MAX:
            self.blocks.popitem(last=False)

    def full(self, datagram: Datagram, other: "Side", *, again: bool) -> None:
        """Note an encrypted full frame; one of 36 octets that answers nothing is a signal."""
        self.encrypted += 1
        self._block(datagram.octets[4 : 4 + BLOCK_OCTETS])
        size, at_ns = datagram.original_octets, datagram.at_ns
        while self.owed_ns and at_ns - self.owed_ns[0] > self.ack_within_ns:
            self.owed_ns.pop(0)
        if size == SIGNAL_OCTETS and self.owed_ns:
            self.owed_ns.pop(0)  # an ACK, or as good as one
            return
        if again:
            self.repeats += 1
            return
        if other.encrypted and len(other.owed_ns) < _BLOCKS_MAX:  # ACCEPT answers AUTHREP
            other.owed_ns.append(at_ns)
        if size == SIGNAL_OCTETS and len(self.signals_ns) < SIGNALS_MAX:
            self.signals_ns.append(at_ns)
        if size == RTKEY_OCTETS and len(self.rotations_ns) < SIGNALS_MAX:
            self.rotations_ns.append(at_ns)


@dataclass(slots=True)
class Observed:
    """What was seen of one dialog."""

    dialog: Dialog
    started_ns: int
    ended_ns: int
    kind: str = "unknown"
    encrypted: bool = False
    caller: Side = field(default_factory=lambda: Side(CALLER))
    callee: Side = field(default_factory=lambda: Side(CALLEE))
    fields: dict[tuple[str, str, str], str] = field(default_factory=dict, repr=False)
    """Frame, element and value of what stood in clear, in order, and who sent it first."""
    clear_after: Counter[str] = field(default_factory=Counter)
    digits: str = field(default="", repr=False)
    cut: int = 0
    asked_ns: int = 0
    """When the set-up asked for an answer last."""
    marks: list[tuple[int, bool, str]] = field(default_factory=list, repr=False)
    """Time, whether from the caller, and what kind of full frame."""

    def take(self, datagram: Datagram) -> None:
        """Note one datagram of the dialog."""
        self.ended_ns = max(self.ended_ns, datagram.at_ns)
        from_caller = datagram.source == self.dialog.caller
        side = self.caller if from_caller else self.callee
        size = datagram.original_octets
        if not datagram.octets[0] & 0x80:
            side.audio(datagram, encrypted=is_encrypted_size(size - MINI_CLEAR_OCTETS))
            return
        reading = read_datagram(datagram.octets)
        if len(datagram.octets) < size:
            self.cut += 1
            if reading.kind is not Kind.CLEAR and is_encrypted_size(size - FULL_CLEAR_OCTETS):
                reading = Reading(Kind.ENCRYPTED, retransmission=reading.retransmission)
        if reading.kind is Kind.CLEAR:
            self._clear(reading, datagram, side)
            self._mark(datagram.at_ns, "clear", from_caller=from_caller)
        elif reading.kind is Kind.ENCRYPTED:
            other = self.callee if from_caller else self.caller
            if not side.encrypted:
                side.answered_after(datagram.at_ns - self.asked_ns)
                self.asked_ns = datagram.at_ns
            side.full(datagram, other, again=reading.retransmission)
            self.encrypted = True
            kind = "signal" if size == SIGNAL_OCTETS else "encrypted"
            self._mark(datagram.at_ns, kind, from_caller=from_caller)

    def _mark(self, at_ns: int, kind: str, *, from_caller: bool) -> None:
        if len(self.marks) < MARKS_MAX:
            self.marks.append((at_ns, from_caller, kind))

    def _clear(self, reading: Reading, datagram: Datagram, side: Side) -> None:
        side.clear += 1
        self.asked_ns = datagram.at_ns
        if self.kind == "unknown":
            self.kind = _KINDS.get(reading.name, "unknown")
        if self.caller.encrypted and reading.name != _AUTHREQ:
            known = reading.name in self.clear_after or len(self.clear_after) < FIELDS_MAX
            self.clear_after[reading.name if known else _OTHERS] += 1
        for name, value in reading.elements:
            if len(self.fields) < FIELDS_MAX:
                self.fields.setdefault((reading.name, name, value), side.name)
        frame = clear_frame(datagram.octets)
        if frame is None:
            return
        if frame.frame_type == FrameType.VOICE:
            side.audio_clear += 1
        elif frame.frame_type == FrameType.DTMF_END and not frame.retransmission:
            self._digit(frame.subclass)

    def _digit(self, subclass: int) -> None:
        digit = chr(subclass) if 0 <= subclass < 128 else "?"  # noqa: PLR2004  ASCII
        if digit in DTMF_DIGITS and len(self.digits) < DIGITS_MAX:
            self.digits += digit

    def values(self, element: str) -> list[tuple[str, str]]:
        """Return the frames in which an element stood in clear, each with its value."""
        return [(frame, value) for frame, value, _ in self.told(element)]

    def told(self, element: str) -> list[tuple[str, str, str]]:
        """Return frame and value as `values` does, and the side that sent it."""
        return [
            (frame, value, sender)
            for (frame, name, value), sender in self.fields.items()
            if name == element
        ]


_KINDS: Final = {
    IaxSubclass.NEW.name: "call",
    IaxSubclass.AUTHREQ.name: "call",
    IaxSubclass.AUTHREP.name: "call",
    IaxSubclass.ACCEPT.name: "call",
    IaxSubclass.REGREQ.name: "registration",
    IaxSubclass.REGREL.name: "registration",
    IaxSubclass.REGAUTH.name: "registration",
    IaxSubclass.POKE.name: "qualifying",
}
