"""Sets everything up, from a bare machine to a virtual environment that runs the bridge.

Owns the order of the steps. Needs Python's standard library alone. What is up to date is left
alone, so that a second run takes no time and says nothing.
"""

from __future__ import annotations

import argparse
import fcntl
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import machine
from cache import cache_folder
from environment import Environment
from progress import Progress, SetupError

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Purpose:
    """What the set-up is for: the system packages, and the extra of pyproject.toml or ""."""

    requirements: tuple[machine.Requirement, ...]
    extra: str


PURPOSES: Mapping[str, Purpose] = {
    "run": Purpose(machine.TO_BUILD, ""),
    "develop": Purpose(machine.TO_BUILD, "dev"),
    "test": Purpose((*machine.TO_BUILD, *machine.TO_TEST), "dev"),
}


def main() -> int:
    """Returns 1, with the reason on stderr, where something cannot be done."""
    parser = argparse.ArgumentParser(description="Sets up all that the bridge needs")
    parser.add_argument("purpose", choices=PURPOSES)
    purpose = PURPOSES[parser.parse_args().purpose]
    try:
        with _one_at_a_time():
            _prepare(purpose, Progress(cache_folder() / "logs" / "set-up.log"))
    except SetupError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _prepare(purpose: Purpose, progress: Progress) -> None:
    machine.ensure(purpose.requirements, progress)
    environment = Environment(ROOT, progress)
    environment.ensure()
    environment.ensure_pjsua2()
    environment.ensure_relay()
    environment.ensure_project(purpose.extra)


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Two runs in one tree would write into each other's virtual environment."""
    with (ROOT / "Makefile").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    sys.exit(main())
