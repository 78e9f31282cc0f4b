"""Writes docs/testing.md from recorded results and tests/testing.md.template.

A proof that has no result among them keeps what the document says of it, so that the proofs of
different issues may be run on different machines.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

from tests.lab.proof_list import PROOFS, Proof
from tests.lab.results import ROOT

TEMPLATE = ROOT / "tests" / "testing.md.template"
DOCUMENT = ROOT / "docs" / "testing.md"

Entry = Mapping[str, Any]


def passed(entries: Iterable[Entry], proof: Proof) -> Entry | None:
    """The last result of a proof, when it passed."""
    verdicts = [e for e in entries if e.get("kind") == "verdict" and e.get("key") == proof.key]
    return verdicts[-1] if verdicts and verdicts[-1]["passed"] else None


def write_document(entries: Sequence[Entry], path: Path = DOCUMENT) -> None:
    """Regenerates the document; proofs that never had a result say so."""
    before = _told_before(path.read_text() if path.exists() else "")
    sections = [_issue(name, proofs, entries, before) for name, proofs in PROOFS.items()]
    text = Template(TEMPLATE.read_text()).substitute(proofs="\n\n".join(sections))
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


def _told_before(document: str) -> Mapping[str, str]:
    """What a document says of each proof that it has a result of, by the proof's key."""
    parts = re.split(r"^#{2,3} .*\n\n", document, flags=re.MULTILINE)
    found = [re.match(r"`(.+?)`: passed on ", part) for part in parts]
    return {match[1]: match.string.strip() for match in found if match}


def _issue(
    name: str, proofs: Sequence[Proof], entries: Sequence[Entry], before: Mapping[str, str]
) -> str:
    parts = [f"### {proof.claim}\n\n{_proof(proof, entries, before)}" for proof in proofs]
    return "\n\n".join([f"## Proofs of issue {name.upper()} (`make proof-{name}`)", *parts])


def _proof(proof: Proof, entries: Sequence[Entry], before: Mapping[str, str]) -> str:
    verdict = passed(entries, proof)
    if verdict is None:
        return before.get(proof.key, f"`{proof.key}`: not run yet at full size.")
    day, seconds = verdict["at"].partition("T")[0], verdict["seconds"]
    said = f"`{proof.key}`: passed on {day} at {verdict['commit']} in {seconds} s."
    figures = [e for e in entries if e.get("kind") == "figures" and e["run"] == verdict["run"]]
    tables = [_table(name, figures) for name in dict.fromkeys(e["name"] for e in figures)]
    return "\n\n".join([said, *tables])


def _table(name: str, entries: Sequence[Entry]) -> str:
    rows = [entry["figures"] for entry in entries if entry["name"] == name]
    columns = list(dict.fromkeys(key for row in rows for key in row))
    head = f"| {' | '.join(column.replace('_', ' ') for column in columns)} |"
    lines = [f"| {' | '.join(str(row.get(c, '')) for c in columns)} |" for row in rows]
    return "\n".join([f"{name.capitalize()}:", "", head, "|---" * len(columns) + "|", *lines])
