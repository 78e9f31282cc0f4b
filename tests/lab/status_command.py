"""`siax status` as an operator runs it, of a bridge that runs in a folder."""

import json
import sys
from pathlib import Path
from typing import Any, Final

import trio

from tests.lab.bridge_process import ROOT

CONFIG: Final = "siax.yaml"


async def siax_status(folder: Path, *arguments: str) -> tuple[int, str, str]:
    """Run it as an operator does; return its exit code and what it wrote to either stream."""
    command = [sys.executable, "-m", "bridge", "status", *arguments]
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
    done = await trio.run_process(
        command,
        check=False,
        capture_stdout=True,
        capture_stderr=True,
        cwd=folder,
        env=environment,
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


async def answer(folder: Path) -> dict[str, Any]:
    code, out, err = await siax_status(folder, CONFIG, "--json")
    assert (code, err) == (0, "")
    document: dict[str, Any] = json.loads(out)
    return document
