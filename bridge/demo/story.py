"""Tells the demo's story: headings, steps with their time, columns; plain where no terminal is.

Owns how things look. Must not know what they mean.
"""

import sys
import textwrap
import time
from typing import Final, TextIO

from rich.console import Console
from rich.text import Text

_INDENT: Final = "  "
_WIDTH: Final = 96


class Story:
    """Writes to a terminal with colours, or plain lines of ASCII that grep understands."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._console = Console(file=out or sys.stdout, highlight=False, soft_wrap=True)
        self._began_at = time.monotonic()

    def begin_clock(self, at: float) -> None:
        """Let the times of steps count from a moment of the monotonic clock."""
        self._began_at = at

    def heading(self, text: str) -> None:
        """Begin a part."""
        self._console.print()
        self._console.print(Text(text, style="bold"))

    def line(self, text: str, style: str = "") -> None:
        """Say a sentence."""
        self._console.print(Text(_INDENT + text, style=style))

    def row(self, label: str, text: str, style: str = "") -> None:
        """Say something about something."""
        self._console.print(Text.assemble(_INDENT, (f"{label:<12}", "cyan"), (text, style)))

    def step(self, at: float, who: str, text: str) -> None:
        """Say what happened when."""
        since_s = f"{at - self._began_at:8.3f} s  "
        self._console.print(Text.assemble(_INDENT, (since_s, "dim"), (f"{who:<10}", "cyan"), text))

    def step_now(self, who: str, text: str) -> None:
        """Say what has just happened."""
        self.step(time.monotonic(), who, text)

    def frame(self, at: float, header: str, what: str, *, in_clear: bool) -> None:
        """Show a frame of the link."""
        since_s = f"{at - self._began_at:8.3f} s  "
        style = "yellow" if in_clear else "dim"
        self._console.print(Text.assemble(_INDENT, (since_s, "dim"), header, (what, style)))

    def details(self, text: str) -> None:
        """Show what stands in a frame, below it."""
        for part in textwrap.wrap(text, _WIDTH - 16, break_on_hyphens=False):
            self._console.print(Text(f"{'':16}{part}", style="yellow"))

    def check(self, subject: str, seen: str, *, holds: bool) -> None:
        """Show the outcome of a check."""
        mark, style = ("ok   ", "green") if holds else ("WRONG", "bold red")
        self._console.print(Text.assemble(_INDENT, (mark, style), f"  {subject:<28}{seen}"))

    def verdict(self, text: str, *, good: bool) -> None:
        """Say the last word."""
        self._console.print()
        self._console.print(Text(text, style="bold green" if good else "bold red"))
