"""Sizes of proofs, and the record of what the full-size ones measured.

A proof is one test with two sizes: small in `make test`, full with SIAX_PROOF=full. What it
measures goes to `record`, which writes only where SIAX_PROOF_RESULTS names a file: one JSON line
a result, so that a run that was broken off goes on where it stopped (tests/proof.py).
"""

import json
import os
import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

ROOT = Path(__file__).resolve().parents[2]
_SOURCES = ("bridge", "tests", "configs", "packaging", "pyproject.toml")
_Size = TypeVar("_Size")


def is_full() -> bool:
    """Whether proofs run at their full sizes."""
    return os.environ.get("SIAX_PROOF") == "full"


def sized(small: _Size, full: _Size) -> _Size:
    """The size of a proof in this run."""
    return full if is_full() else small


def record(name: str, figures: Mapping[str, Any]) -> None:
    """Notes what a proof measured; no number that was dialed belongs into figures."""
    if path := os.environ.get("SIAX_PROOF_RESULTS"):
        append(Path(path), {"kind": "figures", "name": name, "figures": dict(figures)})


def append(path: Path, entry: Mapping[str, Any]) -> None:
    """Appends one result with its run, the state of the sources, the time and the machine."""
    stamp = {
        "run": os.environ.get("SIAX_PROOF_RUN", ""),
        "commit": source_state(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps({**entry, **stamp}, sort_keys=True) + "\n")


def read(path: Path) -> list[dict[str, Any]]:
    """All results of a file, oldest first; none when there is no file."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines() if line]


@cache
def source_state() -> str:
    """The last commit that changed more than documents, and a digest of what was edited since."""
    commit = _git("log", "-1", "--format=%h", "--") or "unknown"
    edited = _git("diff", "HEAD", "--") + _git("status", "--porcelain", "--")
    return f"{commit}+{sha256(edited.encode()).hexdigest()[:8]}" if edited else commit


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments, *_SOURCES]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip()
