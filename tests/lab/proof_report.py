"""Writes docs/testing.md from recorded results and tests/testing.md.template."""

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
    """Regenerates the document; proofs without a result say so."""
    sections = [_issue(name, proofs, entries) for name, proofs in PROOFS.items()]
    text = Template(TEMPLATE.read_text()).substitute(proofs="\n\n".join(sections))
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


def _issue(name: str, proofs: Sequence[Proof], entries: Sequence[Entry]) -> str:
    parts = [_proof(proof, entries) for proof in proofs]
    return "\n\n".join([f"## Proofs of issue {name.upper()} (`make proof-{name}`)", *parts])


def _proof(proof: Proof, entries: Sequence[Entry]) -> str:
    verdict = passed(entries, proof)
    title = f"### {proof.claim}\n\n`{proof.key}`: "
    if verdict is None:
        return f"{title}not run yet at full size."
    day, seconds = verdict["at"].partition("T")[0], verdict["seconds"]
    said = f"passed on {day} at {verdict['commit']} in {seconds} s."
    figures = [e for e in entries if e.get("kind") == "figures" and e["run"] == verdict["run"]]
    tables = [_table(name, figures) for name in dict.fromkeys(e["name"] for e in figures)]
    return "\n\n".join([f"{title}{said}", *tables])


def _table(name: str, entries: Sequence[Entry]) -> str:
    rows = [entry["figures"] for entry in entries if entry["name"] == name]
    columns = list(dict.fromkeys(key for row in rows for key in row))
    head = f"| {' | '.join(column.replace('_', ' ') for column in columns)} |"
    lines = [f"| {' | '.join(str(row.get(c, '')) for c in columns)} |" for row in rows]
    return "\n".join([f"{name.capitalize()}:", "", head, "|---" * len(columns) + "|", *lines])
