"""The outcome of an audit as one HTML page, the timeline drawn as inline SVG.

The page needs no network and has no script.
"""

from collections.abc import Iterator
from html import escape
from typing import Final

from bridge.audit.audit import Audit, Judged
from bridge.audit.findings import Finding
from bridge.audit.observing import Side
from bridge.audit.report import SECOND_NS, directions, duration_s, summary, title

DRAWN_MAX: Final = 200
"""Calls that get a timeline; the others are listed."""

_WIDTH: Final = 1000
_LEFT: Final = 70
_RIGHT: Final = 10
_LANES: Final = {True: 34, False: 74}
_LANE_HEIGHT: Final = 24
_AXIS: Final = 112
_HEIGHT: Final = 130
_TICKS: Final = 5
_STYLE: Final = """
:root { color-scheme: light dark; --paper: #fbfbf9; --ink: #1c2226; --faint: #78828a;
  --line: #dfe2e0; --card: #ffffff; --leak: #c62828; --weak: #b26a00; --hidden: #1b7f4d;
  --audio: #9dbfe0; --clear: #c62828; --signal: #24527a; --encrypted: #6d7f8e; }
@media (prefers-color-scheme: dark) { :root { --paper: #14181b; --ink: #e4e8ea; --faint: #8d99a1;
  --line: #2d353a; --card: #1b2125; --leak: #ff7b72; --weak: #e3b341; --hidden: #56d39a;
  --audio: #2f4d6b; --clear: #ff7b72; --signal: #a5cdf5; --encrypted: #7f93a3; } }
body { margin: 0 auto; max-width: 1080px; padding: 2rem 1.25rem; background: var(--paper);
  color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; } h2 { font-size: 1rem; margin: 0 0 .75rem; }
.verdict { font-weight: 600; } .bad { color: var(--leak); } .good { color: var(--hidden); }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 1rem 1.25rem; margin: 1.25rem 0; }
.timeline { overflow-x: auto; } svg { width: 100%; min-width: 800px; height: auto; display: block; }
svg text { fill: var(--faint); font-size: 12px; }
@media (max-width: 900px) { svg text { font-size: 15px; } }
.lane { fill: none; stroke: var(--line); } .audio { fill: var(--audio); }
.clear { stroke: var(--clear); } .signal { stroke: var(--signal); }
.encrypted { stroke: var(--encrypted); } .tick { stroke: var(--line); }
.pin { stroke: none; } .pin.leak { fill: var(--leak); } .pin.weak { fill: var(--weak); }
.pin.hidden { fill: var(--hidden); }
ul { list-style: none; margin: .75rem 0 0; padding: 0; } li { padding: .15rem 0 .15rem 5.2rem;
  text-indent: -5.2rem; overflow-wrap: anywhere; }
li b { display: inline-block; width: 5.2rem; text-indent: 0; font-weight: 600; }
.leak b { color: var(--leak); } .weak b { color: var(--weak); } .hidden b { color: var(--hidden); }
time { white-space: nowrap; } time, .note, .key { color: var(--faint); }
.key i { display: inline-block; width: 3px; height: .9em;
  margin: 0 .4em 0 1.2em; vertical-align: -.1em; }
"""
_KEY: Final = (
    '<p class="key">On each lane: <i style="background:var(--clear)"></i>full frame in clear'
    '<i style="background:var(--signal)"></i>encrypted, 36 octets (a signal or an ACK)'
    '<i style="background:var(--encrypted)"></i>other encrypted full frame'
    '<i style="background:var(--audio);width:14px"></i>audio. Triangles mark findings.</p>\n'
)


def html_page(audit: Audit, name: str) -> Iterator[str]:
    """Give the page piece by piece; everything from the capture is escaped."""
    verdict = "bad" if audit.leaks else "good"
    yield '<!doctype html><html lang="en"><head><meta charset="utf-8">\n'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    yield f"<title>siax audit: {escape(name)}</title><style>{_STYLE}</style></head><body>\n"
    yield f"<h1>What an eavesdropper learns from {escape(name)}</h1>\n"
    yield f'<p class="verdict {verdict}">{escape(summary(audit))}</p>\n'
    yield from (f"<p>{escape(sentence)}</p>\n" for sentence in directions(audit))
    yield _KEY
    for index, judged in enumerate(audit.dialogs):
        if judged.findings:
            yield _section(judged, drawn=index < DRAWN_MAX)
    if audit.unreported:
        yield f"<p>{audit.unreported} more dialogs were judged and are not listed.</p>\n"
    yield from (f'<p class="note">note: {escape(note)}</p>\n' for note in audit.notes)
    yield "</body></html>\n"


def _section(judged: Judged, *, drawn: bool) -> str:
    items = "".join(_item(judged, finding) for finding in judged.findings)
    picture = _timeline(judged) if drawn else ""
    return f"<section><h2>{escape(title(judged))}</h2>{picture}<ul>{items}</ul></section>\n"


def _item(judged: Judged, finding: Finding) -> str:
    severity, at = finding.severity.value, ""
    if finding.at_ns is not None:
        at = f" <time>at {(finding.at_ns - judged.seen.started_ns) / SECOND_NS:.1f} s</time>"
    return f'<li class="{severity}"><b>{severity}</b>{escape(finding.text)}{at}</li>'


def _timeline(judged: Judged) -> str:
    drawing = "".join(_drawing(judged))
    return (
        f'<div class="timeline"><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img"'
        f' aria-label="timeline of the call">{drawing}</svg></div>'
    )


def _drawing(judged: Judged) -> Iterator[str]:
    seen = judged.seen
    yield from _axis(judged)
    for from_caller, side in ((True, seen.caller), (False, seen.callee)):
        top = _LANES[from_caller]
        label = "caller" if from_caller else "callee"
        yield f'<text x="0" y="{top + 17}">{label}</text>'
        width = _WIDTH - _LEFT - _RIGHT
        yield f'<rect class="lane" x="{_LEFT}" y="{top}" width="{width}" height="{_LANE_HEIGHT}"/>'
        yield from _audio(judged, side, top)
    for at_ns, from_caller, kind in seen.marks:
        x, top = _x(judged, at_ns), _LANES[from_caller]
        yield f'<path class="{kind}" d="M{x:.1f} {top + 3}v{_LANE_HEIGHT - 6}"/>'
    for finding in judged.findings:
        if finding.at_ns is not None:
            x = _x(judged, finding.at_ns)
            yield (
                f'<path class="pin {finding.severity.value}" d="M{x - 6:.1f} 12h12l-6 10z">'
                f"<title>{escape(finding.text)}</title></path>"
            )


def _axis(judged: Judged) -> Iterator[str]:
    for tick in range(_TICKS + 1):
        x = _LEFT + (_WIDTH - _LEFT - _RIGHT) * tick / _TICKS
        anchor = "end" if tick == _TICKS else "middle"
        yield f'<path class="tick" d="M{x:.1f} 28V{_AXIS - 10}"/>'
        yield (
            f'<text x="{x:.1f}" y="{_AXIS + 6}" text-anchor="{anchor}">'
            f"{duration_s(judged) * tick / _TICKS:.1f} s</text>"
        )


def _audio(judged: Judged, side: Side, top: int) -> Iterator[str]:
    for started_ns, ended_ns in side.audio_runs:
        x = _x(judged, started_ns)
        width = max(_x(judged, ended_ns) - x, 0.5)
        yield (
            f'<rect class="audio" x="{x:.1f}" y="{top + 6}" width="{width:.1f}"'
            f' height="{_LANE_HEIGHT - 12}"/>'
        )


def _x(judged: Judged, at_ns: int) -> float:
    """Return where a moment is drawn; times that a broken clock made stay on the lane."""
    seen = judged.seen
    share = (at_ns - seen.started_ns) / max(seen.ended_ns - seen.started_ns, 1)
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * min(max(share, 0.0), 1.0)
