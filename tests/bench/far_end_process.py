"""Runs the light far end as a process of its own, as every measurement needs it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self

from tests.bench.far_end import SECRET_VARIABLE
from tests.bench.gateways import Site
from tests.bench.tools import Tools
from tests.lab import LabError
from tests.lab.asterisk_config import IAX_PORT, USERNAME
from tests.lab.bridge_process import ROOT

_STOP_S: Final = 15.0
EXPECTED_NUMBER: Final = r"555\d{4}#"


class FarEndProcess:
    """A context manager around `python -m tests.bench.far_end`.

    Args:
        tools: The compiled programs.
        site: Where it listens.
        flags: More of its options, such as "--batches".
    """

    def __init__(self, tools: Tools, site: Site, flags: Sequence[str] = ()) -> None:
        self._site = site
        self._command = [sys.executable, "-m", "tests.bench.far_end"]
        self._command += ["--bind", f"{site.far_end}:{IAX_PORT}", "--binary", str(tools.far_end)]
        self._command += ["--username", USERNAME, "--expect", EXPECTED_NUMBER, *flags]
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=os.environ | {SECRET_VARIABLE: self._site.secret},
        )
        if not self._line():
            raise LabError(f"the far end did not start at {self._site.far_end}:{IAX_PORT}")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        process = self._running()
        if process.poll() is None:
            process.kill()
        process.communicate()

    @property
    def pid(self) -> int:
        """Of the Python half; the C program is its child."""
        return self._running().pid

    def finish(self) -> Mapping[str, Any]:
        """Ends it and returns what it counted.

        Raises:
            LabError: It had failed before.
        """
        process = self._running()
        process.send_signal(signal.SIGTERM)
        line = self._line()
        process.wait(_STOP_S)
        if not line:
            raise LabError("the far end ended without a result")
        result: dict[str, Any] = json.loads(line)
        del result["event"]
        return result

    def _line(self) -> str:
        stdout = self._running().stdout
        return stdout.readline() if stdout else ""

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            raise LabError("the far end is not running")
        return self._process
