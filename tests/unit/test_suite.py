"""`make test`: no file of tests is left out, and one failure is everybody's."""

import subprocess
from pathlib import Path

import pytest

from tests import suite

TESTS = Path(__file__).resolve().parents[1]


def test_every_file_of_tests_is_in_a_part() -> None:
    parts = {TESTS.parent / folder for folder in (*suite.COMPUTING, *suite.IN_REAL_TIME)}
    left_out = [
        path for path in TESTS.rglob("test_*.py") if not any(part in path.parents for part in parts)
    ]
    assert left_out == []


@pytest.mark.parametrize(
    ("codes", "worst"),
    [
        ((0, 0, 0), 0),
        ((1, 0, 5), 1),
        ((0, 2, 0), 2),
        ((5, 0, 5), 0),
        ((5, 5, 5), 5),
        ((0, -9, 0), 1),
    ],
)
def test_the_worst_part_decides(
    monkeypatch: pytest.MonkeyPatch, codes: tuple[int, ...], worst: int
) -> None:
    answers = iter(codes)

    def run(command: list[str], *, check: bool) -> subprocess.CompletedProcess[bytes]:
        assert not check
        return subprocess.CompletedProcess(command, next(answers))

    monkeypatch.setattr(subprocess, "run", run)
    assert suite.main(["-k", "anything"]) == worst


def test_a_file_that_is_named_runs_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []

    def run(command: list[str], *, check: bool) -> subprocess.CompletedProcess[bytes]:
        assert not check
        commands.append(command)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", run)
    assert suite.main([f"{__file__}::test_something", "-x"]) == 0
    assert [command[3:] for command in commands] == [[f"{__file__}::test_something", "-x"]]
