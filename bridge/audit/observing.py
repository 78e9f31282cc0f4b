"""What was seen of each dialog, collected frame by frame in bounded memory, without any secret."""

from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from bridge.audit.dialogs import Dialog
from bridge.audit.memory import RecentBlocks, Timeline
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
ROTATIONS_MAX: Final = 64
MARKS_MAX: Final = 600
RUNS_MAX: Final = 300
SIZES_MAX: Final = 16
FIELDS_MAX: Final = 64
FIELD_TEXTS_MAX: Final = 8192
"""How long all values that stood in clear are together, in characters."""
DIGITS_MAX: Final = 128

_OWED_MAX: Final = 256
_ACK_WITHIN_NS: Final = (60_000_000, 1_000_000_000)
"""How long an ACK is waited for, at least and at most; between them it is as the set-up took."""
_ACK_LATER: Final = 4
_AUTHREQ: Final = IaxSubclass.AUTHREQ.name
_AUTHREP: Final = IaxSubclass.AUTHREP.name
_OTHERS: Final = "of other kinds"
_MARKS: Final = ("clear", "signal", "encrypted")

Times: TypeAlias = "array[int]"
"""Nanoseconds since 1970, in 8 octets each."""


def _times() -> Times:
    return array("q")


@dataclass(slots=True)
class Side:
    """What one side, the caller or the callee, sent; times in nanoseconds since 1970."""

    name: str
    encrypted: int = 0
    clear: int = 0
    audio_encrypted: int = 0
    audio_clear: int = 0
    audio_sizes: Counter[int] = field(default_factory=Counter)
    runs_ns: Times = field(default_factory=_times, repr=False)
    """Beginning and end of each stretch of audio, one after the other."""
    gaps: int = 0
    signals_ns: Times = field(default_factory=_times, repr=False)
    rotations_ns: Times = field(default_factory=_times, repr=False)
    repeated_blocks: int = 0
    repeats: int = 0
    owed_ns: Times = field(default_factory=_times, repr=False)
    ack_within_ns: int = _ACK_WITHIN_NS[1]
    blocks: RecentBlocks = field(default_factory=RecentBlocks, repr=False)

    @property
    def has_more_signals(self) -> bool:
        """Whether there may be signals that `signals_ns` has no room for."""
        return len(self.signals_ns) == SIGNALS_MAX

    @property
    def audio_runs(self) -> list[tuple[int, int]]:
        """Beginning and end of each stretch of audio."""
        return list(zip(self.runs_ns[::2], self.runs_ns[1::2], strict=True))

    def forget(self) -> None:
        """Keep what is shown alone: the side is judged."""
        self.blocks = RecentBlocks()
        self.signals_ns, self.owed_ns = _times(), _times()

    def answered_after(self, elapsed_ns: int) -> None:
        """Learn from the set-up how fast this side answers, as seen where the capture was made."""
        low, high = _ACK_WITHIN_NS
        self.ack_within_ns = min(max(_ACK_LATER * elapsed_ns, low), high)

    def audio(self, datagram: Datagram, *, encrypted: bool) -> None:
        """Note a frame of audio."""
        if encrypted:
            self.audio_encrypted += 1
            self.repeated_blocks += self.blocks.is_repeated(datagram.octets[2 : 2 + BLOCK_OCTETS])
        else:
            self.audio_clear += 1
        size = datagram.original_octets
        if size in self.audio_sizes or len(self.audio_sizes) < SIZES_MAX:
            self.audio_sizes[size] += 1
        self._run(datagram.at_ns)

    def _run(self, at_ns: int) -> None:
        runs_ns = self.runs_ns
        if runs_ns and at_ns - runs_ns[-1] <= GAP_NS:
            runs_ns[-1] = max(at_ns, runs_ns[-1])
            return
        self.gaps += bool(runs_ns)
        if len(runs_ns) < 2 * RUNS_MAX:
            runs_ns.extend((at_ns, at_ns))
        else:
            runs_ns[-1] = at_ns

    def full(self, datagram: Datagram, other: "Side", *, again: bool) -> None:
        """Note an encrypted full frame; one of 36 octets that answers nothing is a signal."""
        self.encrypted += 1
        self.repeated_blocks += self.blocks.is_repeated(datagram.octets[4 : 4 + BLOCK_OCTETS])
        size, at_ns = datagram.original_octets, datagram.at_ns
        while self.owed_ns and at_ns - self.owed_ns[0] > self.ack_within_ns:
            self.owed_ns.pop(0)
        if size == SIGNAL_OCTETS and self.owed_ns:
            self.owed_ns.pop(0)  # an ACK, or as good as one
            return
        if again:
            self.repeats += 1
            return
        if other.encrypted and len(other.owed_ns) < _OWED_MAX:  # ACCEPT answers AUTHREP
            other.owed_ns.append(at_ns)
        if size == SIGNAL_OCTETS and len(self.signals_ns) < SIGNALS_MAX:
            self.signals_ns.append(at_ns)
        if size == RTKEY_OCTETS and len(self.rotations_ns) < ROTATIONS_MAX:
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
    timeline: Timeline = field(default_factory=lambda: Timeline(MARKS_MAX), repr=False)
    texts: int = 0
    """How long the values in `fields` are together."""

    @property
    def marks(self) -> Iterator[tuple[int, bool, str]]:
        """Full frames to draw: time, whether from the caller, and what kind."""
        return ((at_ns, mark % 2 == 1, _MARKS[mark // 2]) for at_ns, mark in self.timeline)

    def forget(self) -> None:
        """Keep what is shown alone: the dialog is judged."""
        self.caller.forget()
        self.callee.forget()

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
        self.timeline.add(at_ns, 2 * _MARKS.index(kind) + from_caller)

    def _clear(self, reading: Reading, datagram: Datagram, side: Side) -> None:
        side.clear += 1
        self.asked_ns = datagram.at_ns
        if self.kind == "unknown":
            self.kind = _KINDS.get(reading.name, "unknown")
        if self.caller.encrypted and reading.name != _AUTHREQ:
            known = reading.name in self.clear_after or len(self.clear_after) < FIELDS_MAX
            self.clear_after[reading.name if known else _OTHERS] += 1
        for name, value in reading.elements:
            told = (reading.name, name, value)
            room = len(self.fields) < FIELDS_MAX and self.texts + len(value) <= FIELD_TEXTS_MAX
            if told not in self.fields and room:
                self.fields[told] = side.name
                self.texts += len(value)
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
