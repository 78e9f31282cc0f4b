"""Runs all tests: `python -m tests.suite [ARGUMENTS OF PYTEST]`.

Tests that compute share the cores; tests that wait for real peers in real time go four at a
time, after them, when the cores are free. What must have the machine to itself goes last, alone.
"""

import subprocess
import sys
import time
from pathlib import Path
from typing import Final

_NO_TESTS: Final = 5
"""pytest's exit code where nothing was chosen."""

COMPUTING: Final = ("tests/unit", "tests/vectors", "tests/simulation", "tests/driver")
IN_REAL_TIME: Final = ("tests/interop", "tests/e2e")
PARTS: Final = {
    "that compute": (*COMPUTING, "-n", "2"),
    "in real time": (*IN_REAL_TIME, "-n", "4", "--dist", "worksteal", "-m", "not alone"),
    "alone": (*IN_REAL_TIME, "-m", "alone"),
}


def main(arguments: list[str]) -> int:
    """Run every part, or what the arguments name; returns pytest's worst exit code."""
    if any(Path(argument.partition("::")[0]).exists() for argument in arguments):
        return _pytest(arguments)
    codes = []
    for name, part in PARTS.items():
        began_s = time.monotonic()
        codes.append(_pytest([*part, *arguments]))
        print(f"tests {name}: {time.monotonic() - began_s:.0f} s\n", flush=True)
    return max((code for code in codes if code != _NO_TESTS), default=_NO_TESTS)


def _pytest(arguments: list[str]) -> int:
    """Return pytest's exit code; a signal that ended it counts as failed tests."""
    code = subprocess.run([sys.executable, "-m", "pytest", *arguments], check=False).returncode
    return code if code >= 0 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
