"""The picture of docs/security.md: what a listener sees of two calls, and how well it guesses."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tests.leak.calls import Seen
from tests.leak.classify import Verdict
from tests.leak.features import VIEWS
from tests.leak.plan import CHANCE
from tests.leak.recording import RecordedCall

SHORT, LONG = 3, 24
SHOWN_MS: Final = (-100, 3600)
_TITLES: Final = {
    "off": "Without the envelope: the digits can be counted",
    "shipped": "With the envelope, as shipped: the same burst for every number",
}
_LEGEND: Final = (
    "seconds after the far end's answer; strokes: frames that are no audio; grey: audio"
)
_NAMES: Final = {
    "shipped": "as shipped",
    "off": "control: no envelope",
    "random-terminator": "control: end digit\nin a random slot",
}
_OURS, _PEERS, _BOTH, _AUDIO = "#0b5394", "#b45309", "#64748b", "#cbd5e1"
_SETTINGS: Final[Any] = {
    "svg.hashsalt": "leaktest",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def draw(
    calls: Mapping[str, Sequence[RecordedCall]],
    verdicts: Mapping[str, Mapping[str, Verdict]],
    path: Path,
) -> None:
    """Draws two calls without and with the envelope, and the accuracies, as SVG."""
    with mpl.rc_context(_SETTINGS):
        figure = Figure(figsize=(8, 8.2), layout="constrained")
        timelines_off, timelines_on, bars = figure.subplots(3, height_ratios=(1, 1, 0.9))
        _draw_timelines(timelines_off, calls["off"], _TITLES["off"])
        _draw_timelines(timelines_on, calls["shipped"], _TITLES["shipped"])
        timelines_on.set_xlabel(_LEGEND)
        _draw_bars(bars, verdicts)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})


def _draw_timelines(axes: Axes, calls: Sequence[RecordedCall], title: str) -> None:
    rows = []
    for place, digits in enumerate((SHORT, LONG)):
        call = next(call for call in calls if call.planned.digits == digits)
        for ours in (True, False):
            y = -(2.6 * place + (not ours))
            _draw_lane(axes, call.seen, y, ours=ours)
            rows.append((y, f"{digits} digits: {'we send' if ours else 'the far end sends'}"))
    axes.set_yticks([y for y, _ in rows], [name for _, name in rows])
    axes.set_xlim(SHOWN_MS[0] / 1000, SHOWN_MS[1] / 1000)
    axes.set_ylim(-4.2, 0.6)
    axes.set_title(title, loc="left", fontweight="bold")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def _draw_lane(axes: Axes, seen: Sequence[Seen], y: float, *, ours: bool) -> None:
    """A tick for each frame that is no plain audio, on a band where audio flows."""
    answer_ms = next(each.at_ms for each in seen if each.ours and not each.full)
    lane = [each for each in seen if each.ours is ours]
    audio = [(each.at_ms - answer_ms) / 1000 for each in lane if not each.full]
    axes.broken_barh([(audio[0], audio[-1] - audio[0])], (y - 0.12, 0.24), color=_AUDIO)
    signals = [(each.at_ms - answer_ms) / 1000 for each in lane if each.full]
    color = _OURS if ours else _PEERS
    axes.vlines(signals, y - 0.36, y + 0.36, color=color, linewidth=1.1)


def _draw_bars(axes: Axes, verdicts: Mapping[str, Mapping[str, Verdict]]) -> None:
    thickness = 0.36
    for place, envelope in enumerate(_NAMES):
        for number, view in enumerate(VIEWS):
            share = verdicts[envelope][view].accuracy
            y, color = -place - thickness * (number - 0.5), (_BOTH, _OURS)[number]
            label = f"seen: {view}" if place == 0 else None
            axes.barh(y, 100 * share, thickness, color=color, label=label)
            beside = max(share, CHANCE)  # where the line of guessing does not cross it
            axes.text(100 * beside + 1, y, f"{share:.1%}", va="center")
    axes.axvline(100 * CHANCE, color="black", linestyle="--", linewidth=1, label="guessing: 20 %")
    axes.set_yticks([-place for place in range(len(_NAMES))], list(_NAMES.values()))
    axes.set_xlim(0, 108)
    axes.set_xlabel("calls whose count of digits (one of five) a trained classifier tells, in %")
    axes.set_title("What learning from recorded calls brings", loc="left", fontweight="bold")
    axes.legend(loc="lower right", frameon=False)
