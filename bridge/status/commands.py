"""`siax status`: finds the service, asks it, shows the answer; once, or again and again."""

import sys
import time
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.live import Live

from bridge.config import load_state_folder
from bridge.status.client import WrongPlaceError, ask_status
from bridge.status.model import StatusError, encode_status
from bridge.status.view import screen, write_text

WATCH_S: Final = 1.0
DEFAULT_CONFIGURATIONS: Final = (Path("siax.yaml"), Path("/etc/siax/siax.yaml"))


def status(
    configuration: Path | None, state_folder: Path | None, *, as_json: bool, watch: bool
) -> None:
    """Show what the service has seen.

    Args:
        configuration: The file that the service runs with; names its state folder.
        state_folder: Or the folder itself.
        as_json: For machines.
        watch: Until Ctrl-C, with a new answer each second.

    Raises:
        WrongPlaceError: the place is wrong, or not for this user.
        StatusError: the service does not answer.
        ConfigurationError: the file cannot be read.
    """
    folder = state_folder or load_state_folder(configuration or _default_configuration())
    if as_json:
        _print_json(folder, watch=watch)
    elif not watch:
        write_text(ask_status(folder), sys.stdout)
    elif sys.stdout.isatty():
        _watch(folder)
    else:
        raise WrongPlaceError("--watch draws on a terminal: add --json for a line each second")


def _default_configuration() -> Path:
    for place in DEFAULT_CONFIGURATIONS:
        if place.exists():
            return place
    raise WrongPlaceError(
        "which service? name its configuration, or its folder with --state-dir (there is no "
        f"{' and no '.join(map(str, DEFAULT_CONFIGURATIONS))})"
    )


def _print_json(folder: Path, *, watch: bool) -> None:
    """Print one line, or one each second until Ctrl-C."""
    try:
        while True:
            sys.stdout.write(encode_status(ask_status(folder)).decode() + "\n")
            sys.stdout.flush()
            if not watch:
                return
            time.sleep(WATCH_S)
    except KeyboardInterrupt:
        return


def _watch(folder: Path) -> None:
    """Show it live; a service that goes away is waited for, a first failure is an error."""
    console = Console()
    seen = ask_status(folder)
    try:
        with Live(screen(seen, console.size), console=console, screen=True) as live:
            while True:
                time.sleep(WATCH_S)
                trouble = ""
                try:
                    seen = ask_status(folder)
                except StatusError as error:
                    trouble = str(error)
                live.update(screen(seen, console.size, trouble), refresh=True)
    except KeyboardInterrupt:
        return
