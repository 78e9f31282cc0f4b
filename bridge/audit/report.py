"""The outcome of an audit for people and for machines.

The form for machines is documented in docs/audit.md; keys and codes are stable.
"""

import json
from datetime import UTC, datetime
from typing import Final, TextIO

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from bridge.audit.audit import Audit, Judged
from bridge.audit.findings import Severity
from bridge.audit.observing import CALLEE, CALLER, Side
from bridge.audit.packets import peer_text

FORMAT_VERSION: Final = 1
STYLES: Final = {
    Severity.LEAK: "bold red",
    Severity.WEAK: "yellow",
    Severity.NOTE: "dim",
    Severity.HIDDEN: "green",
}
_DIRECTIONS: Final = {
    CALLER: "what the caller sends",
    CALLEE: "what the callee sends",
    None: "the call as such",
}
_LINE_MAX: Final = 4000
SECOND_NS: Final = 1_000_000_000


def title(judged: Judged) -> str:
    """Return what names a dialog."""
    dialog = judged.seen.dialog
    return (
        f"{judged.seen.kind} {dialog.number}: {peer_text(dialog.caller)} -> "
        f"{peer_text(dialog.callee)}, {duration_s(judged):.1f} s"
    )


def duration_s(judged: Judged) -> float:
    """Return how long the dialog was seen."""
    return max(judged.seen.ended_ns - judged.seen.started_ns, 0) / SECOND_NS


def summary(audit: Audit) -> str:
    """Return the verdict in one sentence."""
    dialogs = len(audit.dialogs) + audit.unreported
    calls = sum(judged.seen.kind == "call" for judged in audit.dialogs)
    verdict = "something leaks" if audit.leaks else "nothing leaks"
    counts = (_count(audit.datagrams, "IAX2 datagram"), _count(dialogs, "dialog"))
    return f"{verdict}: {', '.join(counts)}, {_count(calls, 'call')} listed"


def directions(audit: Audit) -> list[str]:
    """Return what leaks in which direction, a sentence for each; none where nothing leaks.

    Who runs one side can mend what that side sends.
    """
    if not audit.leaks:
        return []
    told = []
    for side, what in _DIRECTIONS.items():
        leaks = sorted((code, n) for (of, code), n in audit.leaks_from.items() if of == side)
        listed = ", ".join(f"{code} in {_count(n, 'dialog')}" for code, n in leaks)
        if listed or side is not None:
            told.append(f"{what}: {listed or 'nothing leaks'}")
    return told


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def write_text(audit: Audit, output: TextIO) -> None:
    """Write for people; in colour on a terminal."""
    width = None if output.isatty() else _LINE_MAX  # one line a finding for a pipe
    console = Console(file=output, highlight=False, width=width)
    for judged in audit.dialogs:
        if not judged.findings:
            continue
        console.print(Text(title(judged), style="bold"))
        for finding in judged.findings:
            line = Text(f"{finding.severity.value:<7} ", style=STYLES[finding.severity])
            line.append(finding.text, style="default")
            console.print(Padding(line, (0, 0, 0, 2), expand=False))
    if audit.unreported:
        console.print(f"{audit.unreported} more dialogs were judged and are not listed")
    for note in audit.notes:
        console.print(Text(f"note: {note}"))
    console.print(Text(summary(audit), style="bold red" if audit.leaks else "bold green"))
    for sentence in directions(audit):
        console.print(Text(f"  {sentence}"))


def write_json(audit: Audit, output: TextIO) -> None:
    """Write for machines."""
    document = {
        "format": FORMAT_VERSION,
        "leaks": audit.leaks,
        "leaks_from": {
            name or "call": sorted(code for side, code in audit.leaks_from if side == name)
            for name in _DIRECTIONS
        },
        "datagrams": audit.datagrams,
        "dialogs": [_dialog(judged) for judged in audit.dialogs],
        "dialogs_not_listed": audit.unreported,
        "counts": [
            {"severity": severity, "code": code, "dialogs": dialogs}
            for (severity, code), dialogs in sorted(audit.codes.items())
        ],
        "notes": audit.notes,
    }
    json.dump(document, output, indent=2)
    output.write("\n")


def _dialog(judged: Judged) -> dict[str, object]:
    seen = judged.seen
    return {
        "number": seen.dialog.number,
        "kind": seen.kind,
        "started": _moment(seen.started_ns),
        "duration_s": round(duration_s(judged), 6),
        "caller": {"address": peer_text(seen.dialog.caller), **_side(seen.caller)},
        "callee": {"address": peer_text(seen.dialog.callee), **_side(seen.callee)},
        "encrypted": seen.encrypted,
        "findings": [
            {
                "severity": finding.severity.value,
                "code": finding.code,
                "side": finding.side,
                "text": finding.text,
                "at_s": None
                if finding.at_ns is None
                else round((finding.at_ns - seen.started_ns) / SECOND_NS, 6),
            }
            for finding in judged.findings
        ],
    }


def _side(side: Side) -> dict[str, object]:
    return {
        "full_frames_encrypted": side.encrypted,
        "full_frames_clear": side.clear,
        "audio_encrypted": side.audio_encrypted,
        "audio_clear": side.audio_clear,
        "audio_sizes_octets": sorted(side.audio_sizes),
    }


def _moment(at_ns: int) -> str | None:
    """Return ISO 8601; None for times that no calendar has."""
    try:
        return datetime.fromtimestamp(at_ns / SECOND_NS, UTC).isoformat()
    except (OverflowError, ValueError, OSError):
        return None
