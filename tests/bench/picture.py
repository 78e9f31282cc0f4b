"""The pictures of docs/performance.md: CPU and delay against the number of calls, as SVG.

python -m tests.bench.picture docs/performance.json docs/images
"""

import json
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, StrMethodFormatter

from tests.bench.measuring import Point
from tests.bench.results import Results
from tests.bench.table import BRIDGE, LOSS_EXPECTED

Value = Callable[[Point], float | None]

CPU: Final = "performance-cpu.svg"
DELAY: Final = "performance-delay.svg"
_COLORS: Final = {BRIDGE: "#0b5394"}
_OTHER_COLOR: Final = "#b45309"
_LOST_COLOR: Final = "#b91c1c"
_NAMES: Final = {BRIDGE: "siax", "asterisk": "Asterisk 22"}
_DIRECTIONS: Final = {
    "link_to_phone": "From the link to the phone",
    "phone_to_link": "From the phone to the link (siax: on a clock)",
}
_SETTINGS: Final[Any] = {
    "svg.hashsalt": "performance",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": "#e2e8f0",
}


def draw(points: Sequence[Point], folder: Path) -> None:
    """Draws both pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(_SETTINGS):
        _draw_cpu(points).savefig(folder / CPU, **_FILE)
        _draw_delays(points).savefig(folder / DELAY, **_FILE)


_FILE: Final[Any] = {
    "format": "svg",
    "facecolor": "white",  # or it is unreadable on a dark page
    "metadata": {"Date": None, "Creator": None},
}


def _draw_cpu(points: Sequence[Point]) -> Figure:
    figure = Figure(figsize=(7.2, 3.4), layout="constrained")
    axes = figure.subplots()
    for name, own in _by_gateway(points).items():
        xs, ys = _line(own, lambda point: point.cpu_ms_per_call_s)
        axes.plot(xs, ys, "o-", color=_color(name))
        for x, y in zip(xs, ys, strict=True):
            axes.annotate(f"{y:.1f}", (x, y), (0, 6), textcoords="offset points", ha="center")
        for point, x, y in _mark_losses(axes, own, lambda point: point.cpu_ms_per_call_s):
            text = f"{100 * point.loss:.1f} % of the audio lost"
            axes.annotate(
                text, (x, y), (6, -18), textcoords="offset points", ha="right", color=_LOST_COLOR
            )
        _name_line(axes, name, xs, ys)
    axes.set_ylim(0, 1.1 * axes.get_ylim()[1])
    _scale_calls(axes, points)
    axes.set_ylabel("ms a second and call")
    axes.set_title("CPU time of the gateway for each call", loc="left", fontweight="bold")
    return figure


def _draw_delays(points: Sequence[Point]) -> Figure:
    figure = Figure(figsize=(7.6, 3.6), layout="constrained")
    for axes, direction in zip(figure.subplots(1, 2, sharey=True), _DIRECTIONS, strict=True):
        for name, own in _by_gateway(points).items():
            xs, p50 = _line(own, _delay(direction, "p50"))
            _, p99 = _line(own, _delay(direction, "p99"))
            axes.plot(xs, p50, "o-", color=_color(name))
            axes.plot(xs, p99, ".--", color=_color(name), alpha=0.7)
            _mark_losses(axes, own, _delay(direction, "p50"))
            axes.plot([], [], "o-", color=_color(name), label=_name(name))
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        _scale_calls(axes, points)
        axes.set_title(_DIRECTIONS[direction], loc="left", fontweight="bold", fontsize=9)
        axes.tick_params(labelleft=True)
    axes.plot([], [], "k-", linewidth=1, label="half of the frames")
    axes.plot([], [], "k--", linewidth=1, alpha=0.7, label="99 of 100")
    axes.plot([], [], "x", color=_LOST_COLOR, markeredgewidth=2, label="audio was lost")
    figure.axes[0].set_ylabel("one-way delay of the gateway, ms at most")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=5)
    return figure


def _by_gateway(points: Sequence[Point]) -> dict[str, list[Point]]:
    names = sorted({point.gateway for point in points}, key=lambda name: name != BRIDGE)
    ordered = sorted(points, key=lambda point: point.calls)
    return {name: [point for point in ordered if point.gateway == name] for name in names}


def _delay(direction: str, quantile: str) -> Value:
    return lambda point: point.delay_ms(direction, quantile)


def _line(points: Sequence[Point], value: Value) -> tuple[list[int], list[float]]:
    found = [(point.calls, value(point)) for point in points]
    known = [(x, y) for x, y in found if y is not None and not math.isnan(y)]
    return [x for x, _ in known], [y for _, y in known]


def _mark_losses(
    axes: Axes, points: Sequence[Point], value: Value
) -> list[tuple[Point, int, float]]:
    """Crosses out what a gateway did with loss or without some of the calls: it is no service."""
    found = [(point, *_line([point], value)) for point in points]
    broken = [
        (point, xs[0], ys[0])
        for point, xs, ys in found
        if xs and (point.loss > LOSS_EXPECTED or point.failures)
    ]
    for _, x, y in broken:
        axes.plot(x, y, "x", color=_LOST_COLOR, markersize=11, markeredgewidth=2)
    return broken


def _name_line(axes: Axes, name: str, xs: Sequence[int], ys: Sequence[float]) -> None:
    if xs:
        axes.annotate(
            _name(name),
            (xs[-1], ys[-1]),
            (10, 0),
            textcoords="offset points",
            ha="left",
            va="center",
            color=_color(name),
            fontweight="bold",
        )


def _scale_calls(axes: Axes, points: Sequence[Point]) -> None:
    """Calls on a logarithmic axis that names each number measured."""
    numbers = sorted({point.calls for point in points})
    axes.set_xscale("log")
    axes.set_xticks(numbers, [f"{number:,}" for number in numbers])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(axis="x", which="minor", length=0)
    axes.margins(x=0.18)
    axes.set_xlabel("calls")


def _name(gateway: str) -> str:
    return _NAMES.get(gateway, gateway)


def _color(gateway: str) -> str:
    return _COLORS.get(gateway, _OTHER_COLOR)


def main() -> None:
    """Reads the first argument, draws into the folder that is the second."""
    source, folder = map(Path, sys.argv[1:3])
    draw(Results.read(json.loads(source.read_text())).points, folder)


if __name__ == "__main__":
    main()
