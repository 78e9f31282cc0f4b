"""The commands for captures: what they print, where to, and how they end."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

from bridge.audit.audit import audit_capture
from bridge.audit.capture import CaptureError
from bridge.audit.decrypt import Decrypted, decrypt_capture, read_secrets
from bridge.audit.page import html_page
from bridge.audit.promises import read_promises
from bridge.audit.report import write_json, write_text

_OK: Final = 0
_FOUND: Final = 1


def audit(capture: Path, link: Path | None, page: Path | None, *, as_json: bool) -> int:
    """Tell what a capture shows; return the exit code.

    Args:
        capture: The file.
        link: A configuration whose promises are looked at as well.
        page: Where an HTML page is written to.
        as_json: Whether the text is for machines.

    Raises:
        CaptureError: The input is wrong, or the page cannot be written.
        ConfigurationError: The configuration cannot be used.
    """
    promises = None if link is None else read_promises(link)
    with progress_bar("reading") as progress:
        outcome = audit_capture(capture, promises, progress)
    if page is not None:
        try:
            with page.open("w", encoding="utf-8") as file:
                file.writelines(html_page(outcome, capture.name))
        except OSError as error:
            raise CaptureError(f"cannot write {page}: {error.strerror}") from None
    (write_json if as_json else write_text)(outcome, sys.stdout)
    return _FOUND if outcome.leaks else _OK


def decrypt(capture: Path, secret_file: Path, output: Path, *, force: bool) -> int:
    """Write the calls of a capture in clear, and say what became of each; return the exit code.

    Raises:
        CaptureError: The input is wrong, or the output is there already.
    """
    secrets = read_secrets(secret_file)
    with progress_bar("decrypting") as progress:
        outcome = decrypt_capture(capture, secrets, output, force=force, progress=progress)
    _tell(outcome, output)
    return _FOUND if any(call.key is None for call in outcome.calls) else _OK


def _tell(outcome: Decrypted, output: Path) -> None:
    for call in outcome.calls:
        if call.key is None:
            sys.stdout.write(f"{call.name}: left out, no secret of the file fits\n")
            continue
        sys.stdout.write(f"{call.name}: {call.written} frames in clear")
        if call.rotations:
            sys.stdout.write(f", {call.rotations} changes of key followed")
        if call.left_out:
            sys.stdout.write(f", {call.left_out} left out that could not be decrypted")
        sys.stdout.write("\n")
    if outcome.clear_frames:
        sys.stdout.write(f"{outcome.clear_frames} frames that were in clear already were copied\n")
    for note in outcome.notes:
        sys.stderr.write(f"note: {note}\n")
    sys.stderr.write(
        f"wrote {output} (mode 600). It is in clear: whoever reads it knows the numbers and hears "
        "the calls\n"
    )


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on standard error, where that is a terminal; gives what to tell it."""
    console = Console(stderr=True)
    columns = ("[progress.description]{task.description}", BarColumn(), DownloadColumn())
    bar = Progress(
        *columns,
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with bar:
        task = bar.add_task(what, total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)
