from pathlib import Path
from typing import Any

from tests.lab.proof_list import PROOFS, Proof
from tests.lab.proof_report import write_document

FIRST, SECOND = PROOFS["a"][:2]


def results_of(proof: Proof, commit: str, figure: int) -> list[dict[str, Any]]:
    run = {"run": commit, "commit": commit, "at": "2026-11-26T09:00:00+00:00"}
    figures = {"kind": "figures", "name": "calls", "figures": {"calls": figure}, **run}
    verdict = {"kind": "verdict", "key": proof.key, "passed": True, "seconds": 1.5, **run}
    return [figures, verdict]


def written(path: Path, entries: list[dict[str, Any]]) -> str:
    write_document(entries, path)
    return path.read_text()


def test_every_proof_is_named_and_none_has_a_result(tmp_path: Path) -> None:
    text = written(tmp_path / "testing.md", [])
    for proofs in PROOFS.values():
        for proof in proofs:
            assert f"### {proof.claim}\n\n`{proof.key}`: not run yet at full size." in text


def test_results_of_other_runs_stay(tmp_path: Path) -> None:
    path = tmp_path / "testing.md"
    first = written(path, results_of(FIRST, "abc", 11))
    assert f"`{FIRST.key}`: passed on 2026-11-26 at abc in 1.5 s." in first
    assert "| 11 |" in first
    both = written(path, results_of(SECOND, "def", 22))
    assert "at abc in 1.5 s." in both
    assert "| 11 |" in both
    assert "| 22 |" in both
    assert written(path, []) == both


def test_newer_result_takes_the_place_of_an_older_one(tmp_path: Path) -> None:
    path = tmp_path / "testing.md"
    written(path, results_of(FIRST, "abc", 11))
    text = written(path, results_of(FIRST, "def", 33))
    assert "at abc" not in text
    assert "| 11 |" not in text
    assert "at def" in text
    assert "| 33 |" in text
