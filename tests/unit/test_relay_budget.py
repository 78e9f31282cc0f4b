"""What a relayed packet may cost: system calls, instructions and Python calls, counted, not timed.

A packet is one of either direction; both paths do the same work. The budgets leave a fifth to what
differs between machines and versions, and no room for another system call in each packet.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import pytest

from tests.bench.relay_work import relaying
from tests.bench.tools import Tools, build_tools
from tests.lab.bridge_process import ROOT

CALLS = 16
SLOTS = 2
STEPPED_CALLS = 8
"""Fewer, for to step an instruction takes some 5 us."""
SYSTEM_CALLS = {"compiled": 1.5, "Python": 2.4}
PYTHON_CALLS = {"compiled": 0.9, "Python": 25.0}
INSTRUCTIONS = 8_000


@pytest.fixture(scope="module")
def tools() -> Tools:
    return build_tools()


def counted(tools: Tools, what: str, path: str, calls: int, slots: int) -> tuple[int, int]:
    """Counts what relaying takes; returns packets and count."""
    work = [sys.executable, "-m", "tests.bench.relay_work", path, str(calls), str(slots)]
    done = subprocess.run(
        [tools.count, what, *work], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
    )
    packets, count = map(int, done.stdout.split())
    return packets, count


@pytest.mark.parametrize("path", ["compiled", "Python"])
def test_system_calls(tools: Tools, path: str) -> None:
    packets, count = counted(tools, "calls", path, CALLS, SLOTS)
    assert packets == 2 * CALLS * SLOTS
    assert count / packets <= SYSTEM_CALLS[path], count


@pytest.mark.parametrize("path", ["compiled", "Python"])
def test_python_calls(path: str) -> None:
    """C functions that Python calls count as well: they are what a system call costs at least."""
    count = 0

    def profile(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    @contextmanager
    def counting() -> Iterator[None]:
        sys.setprofile(profile)
        try:
            yield
        finally:
            sys.setprofile(None)

    with relaying(path, CALLS) as work:
        work.run(SLOTS, counting)
        assert work.relayed == 2 * CALLS * SLOTS
    assert 0 < count / work.relayed <= PYTHON_CALLS[path], count


def test_instructions_of_the_compiled_path(tools: Tools) -> None:
    packets, count = counted(tools, "instructions", "compiled", STEPPED_CALLS, 1)
    assert packets == 2 * STEPPED_CALLS
    assert count / packets <= INSTRUCTIONS, count
