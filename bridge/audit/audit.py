"""Reads a capture once and judges each dialog in it, without any secret, in bounded memory."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bridge.audit.capture import PROGRESS_EVERY_PACKETS, CaptureReader, Progress
from bridge.audit.dialogs import OPEN_DIALOGS_MAX, Dialog, Dialogs
from bridge.audit.findings import Finding, Severity, judge
from bridge.audit.observing import Observed
from bridge.audit.packets import LINK_TYPES, Datagram, Peer, datagram_of, peer_text
from bridge.audit.promises import LinkPromise

DIALOGS_REPORTED_MAX: Final = 1000
PAIRS_MAX: Final = 1000


@dataclass(frozen=True, slots=True)
class Judged:
    """A dialog with its findings."""

    seen: Observed
    findings: tuple[Finding, ...]

    @property
    def leaks(self) -> bool:
        """Whether anything leaks."""
        return any(finding.severity is Severity.LEAK for finding in self.findings)


@dataclass(slots=True)
class Audit:
    """The outcome.

    Attributes:
        dialogs: The first thousand, calls before others, each with its findings.
        unreported: How many more there were, judged but not kept.
        codes: How many dialogs have a finding of each severity and code, all dialogs counted.
        leaks_from: The same for leaks, by who sends what shows; None is the call as such.
        notes: What was wrong with the capture, and what could not be kept.
        datagrams: How many of IAX2 were seen.
    """

    dialogs: list[Judged] = field(default_factory=list)
    unreported: int = 0
    codes: Counter[tuple[str, str]] = field(default_factory=Counter)
    leaks_from: Counter[tuple[str | None, str]] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    datagrams: int = 0

    @property
    def leaks(self) -> bool:
        """Whether anything leaks in any dialog."""
        return bool(self.leaks_from)


def audit_capture(
    path: Path,
    promises: Mapping[str, LinkPromise] | None = None,
    progress: Progress = lambda _done, _of: None,
) -> Audit:
    """Read a capture and judge what it shows.

    Raises:
        CaptureError: It is no capture, or cannot be read.
    """
    with CaptureReader(path) as reader:
        auditor = _Auditor(promises or {})
        for count, packet in enumerate(reader):
            if count % PROGRESS_EVERY_PACKETS == 0:
                progress(reader.position_octets, reader.size_octets)
            datagram = datagram_of(packet)
            if datagram is not None:
                auditor.take(datagram)
            elif packet.link_type not in LINK_TYPES:
                auditor.unknown_link_types.add(packet.link_type)
        return auditor.finish(reader.notes)


class _Auditor:
    def __init__(self, promises: Mapping[str, LinkPromise]) -> None:
        self._promises = promises
        self._dialogs = Dialogs(evict=self._judge)
        self._seen: dict[int, Observed] = {}
        self._meta: Counter[frozenset[Peer]] = Counter()
        self._audit = Audit()
        self.unknown_link_types: set[int] = set()

    def take(self, datagram: Datagram) -> None:
        if not datagram.octets or not self._dialogs.is_iax2(datagram):
            return
        for part in self._dialogs.split(datagram):
            self._take(part)

    def _take(self, datagram: Datagram) -> None:
        self._audit.datagrams += 1
        if datagram.octets[:2] == b"\0\0":
            pair = frozenset((datagram.source, datagram.destination))
            if pair in self._meta or len(self._meta) < PAIRS_MAX:
                self._meta[pair] += 1
            return
        dialog = self._dialogs.find(datagram)
        if dialog is None:
            return
        seen = self._seen.get(dialog.number)
        if seen is None:
            seen = self._seen[dialog.number] = Observed(dialog, datagram.at_ns, datagram.at_ns)
        seen.take(datagram)

    def _judge(self, dialog: Dialog) -> None:
        seen = self._seen.pop(dialog.number, None)
        if seen is None:
            return
        pair = frozenset((dialog.caller, dialog.callee))
        findings = judge(seen, self._promise(seen), self._meta.get(pair, 0))
        self._audit.codes.update({(f.severity.value, f.code) for f in findings})
        leaks = (f for f in findings if f.severity is Severity.LEAK)
        self._audit.leaks_from.update({(f.side, f.code) for f in leaks})
        if len(self._audit.dialogs) < DIALOGS_REPORTED_MAX:
            seen.forget()
            self._audit.dialogs.append(Judged(seen, tuple(findings)))
        else:
            self._audit.unreported += 1

    def _promise(self, seen: Observed) -> LinkPromise | None:
        names = [value for _, value in seen.values("USERNAME")]
        return next((self._promises[name] for name in names if name in self._promises), None)

    def finish(self, notes: list[str]) -> Audit:
        """Judge what is still open, and say what was left aside."""
        for seen in list(self._seen.values()):
            self._judge(seen.dialog)
        audit, dialogs = self._audit, self._dialogs
        audit.notes += notes
        if dialogs.evicted:
            audit.notes.append(
                f"at most {OPEN_DIALOGS_MAX} dialogs are watched at a time: {dialogs.evicted},"
                " silent longest, were judged before the end of the capture"
            )
        if dialogs.orphans:
            audit.notes.append(
                f"{dialogs.orphans} audio frames belong to calls whose beginning is not captured"
            )
        if self.unknown_link_types:
            kinds = ", ".join(map(str, sorted(self.unknown_link_types)))
            audit.notes.append(f"packets of link types that are not read: {kinds}")
        if not audit.datagrams:
            audit.notes.append("there is no IAX2 in this capture (UDP port 4569, or a NEW)")
        for pair, frames in self._meta.items():
            ports = " and ".join(sorted(map(peer_text, pair)))
            audit.notes.append(f"{frames} trunk (meta) frames between {ports}")
        audit.dialogs.sort(key=lambda judged: (judged.seen.kind != "call", judged.seen.started_ns))
        return audit
