"""`make coverage`: every line and branch of the IAX2 engine is run by unit tests and vectors.

python -m tests.lab.engine_coverage
"""

import os
import re
import subprocess
import sys

from tests.lab.results import ROOT, record

_COMMAND = (
    *("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/unit", "tests/vectors"),
    *("--cov=bridge.iax2", "--cov-branch", "--cov-fail-under=100"),
    "--cov-report=term-missing:skip-covered",
)


def main() -> int:
    """Run the tests; 1 where one fails or a line or branch is not run."""
    # Within a proof, too, the unit tests run at their small sizes, and record nothing of their own.
    own = {name: value for name, value in os.environ.items() if not name.startswith("SIAX_PROOF")}
    done = subprocess.run(
        [sys.executable, *_COMMAND], cwd=ROOT, capture_output=True, text=True, check=False, env=own
    )
    total = re.search(r"^TOTAL +(\d+) +(\d+) +(\d+) +(\d+) +(\S+)$", done.stdout, re.MULTILINE)
    if done.returncode or total is None:
        print("\n".join(done.stdout.splitlines()[-40:]), done.stderr)
        return 1
    statements, missed, branches, partial, share = total.groups()
    figures = {
        "statements": statements,
        "not run": missed,
        "branches": branches,
        "taken one way": partial,
        "coverage": share.replace("%", " %"),
    }
    record("coverage of bridge/iax2", figures)
    print(", ".join(f"{name} {value}" for name, value in figures.items()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
