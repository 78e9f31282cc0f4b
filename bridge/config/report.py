"""Shows a described configuration: as panels on a terminal, else as plain lines for grep."""

from typing import TextIO

from rich import box
from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from bridge.config.describe import DescribedSection, describe, verdict
from bridge.config.loader import Loaded

_WIDTH_MAX = 100


def show_configuration(loaded: Loaded, out: TextIO) -> None:
    """Print links, routes, security in plain words, warnings and the verdict."""
    if out.isatty():
        console = Console(file=out)
        console.print(_panels(loaded), width=min(console.width, _WIDTH_MAX))
    else:
        out.write(plain_report(loaded))


def plain_report(loaded: Loaded) -> str:
    """The report without colours, frames or line breaks within a sentence."""
    lines = []
    for section in describe(loaded):
        width = max(len(label) for label, _ in section.rows)
        lines += [section.title, *(f"  {label:<{width}}  {text}" for label, text in section.rows)]
        lines.append("")
    lines += [f"warning: {warning}" for warning in loaded.warnings]
    lines.append(f"{loaded.path}: {verdict(loaded)}")
    return "\n".join(lines) + "\n"


def _panels(loaded: Loaded) -> Group:
    # Text objects throughout: brackets of a dial plan's expressions are no markup.
    doubts = [Text(f"warning: {warning}", style="yellow") for warning in loaded.warnings]
    style = "bold yellow" if doubts else "bold green"
    last_line = Text(f"{loaded.path}: {verdict(loaded)}", style=style)
    return Group(*(_panel(section) for section in describe(loaded)), *doubts, last_line)


def _panel(section: DescribedSection) -> Panel:
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="cyan", no_wrap=True)
    rows.add_column()
    for label, text in section.rows:
        weak = "WEAK" in text
        rows.add_row(Text(label), Text(text, style="bold red" if weak else ""))
    title = Text(section.title, style="bold")
    return Panel(rows, title=title, title_align="left", box=box.ROUNDED)
