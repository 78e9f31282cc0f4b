"""Progress of long steps: one line when a step starts, while it lasts and when it ends.

Owns what a user sees of the set-up, and the log file that holds what the tools say. Must not know
what the steps do.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

HEARTBEAT_S = 30.0
SHOWN_LOG_LINES = 25


class SetupError(Exception):
    """A step cannot be done; the text tells the user why and what to do about it."""


@dataclass(slots=True)
class Progress:
    """Prints each line with the seconds since the start, on stderr.

    Steps may run in threads of their own: lines are whole, and the log is written by its path.
    """

    log_path: Path
    started_at: float = field(default_factory=time.monotonic)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def elapsed_s(self) -> float:
        """Seconds since this was made."""
        return time.monotonic() - self.started_at

    def say(self, text: str) -> None:
        """Prints one line."""
        with self.lock:
            print(f"  {self.elapsed_s():6.1f} s  {text}", file=sys.stderr, flush=True)

    def run(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        cwd: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Runs a command as a step; what it prints goes to the log alone.

        Raises:
            SetupError: It failed; the text holds the log's last lines and where the rest is.
        """
        self.say(name)
        begun_at = time.monotonic()
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        own_log = self.log_path.with_name(f"{self.log_path.stem}-{_slug(name)}.log")
        with own_log.open("wb") as log:
            status = self._wait(name, _start(command, cwd, environment, log.fileno()), begun_at)
        if status != 0:
            raise SetupError(_failure(name, status, own_log))
        self.say(f"{name}: done in {time.monotonic() - begun_at:.1f} s")

    def _wait(self, name: str, process: subprocess.Popen[bytes], begun_at: float) -> int:
        while True:
            try:
                return process.wait(HEARTBEAT_S)
            except subprocess.TimeoutExpired:
                self.say(f"{name}: {time.monotonic() - begun_at:.0f} s so far")
            except BaseException:
                process.terminate()
                process.wait()
                raise


def _start(
    command: Sequence[str | Path],
    cwd: Path | None,
    environment: Mapping[str, str] | None,
    output: int,
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            [str(part) for part in command],
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    except FileNotFoundError as error:
        raise SetupError(f"{command[0]} is not installed") from error


def _slug(name: str) -> str:
    return "-".join("".join(c if c.isalnum() else " " for c in name.lower()).split())


def _failure(name: str, status: int, log_path: Path) -> str:
    lines = log_path.read_text(errors="replace").splitlines()[-SHOWN_LOG_LINES:]
    shown = "\n".join(f"    {line}" for line in lines)
    return f"{name}: failed with status {status}. The end of {log_path}:\n{shown}"
