"""`make proof-a` to `proof-e`: proofs at full size, resumable, and docs/testing.md from them.

python tests/proof.py a|b|c|d|e [--results FILE] [--only WORDS] [--again]
"""

import argparse
import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # run as a script, Python knows the folder of the script alone

from tests.lab import results  # noqa: E402 # after the path is known
from tests.lab.proof_list import PROOFS, Proof  # noqa: E402
from tests.lab.proof_report import passed, write_document  # noqa: E402

LAST_LINES = 40


def main() -> int:
    """Runs what has no result for these sources yet; 1 when a proof failed."""
    options = _options()
    path = options.results.resolve()
    failed = 0
    proofs = [proof for proof in PROOFS[options.issue] if options.only in proof.claim]
    for number, proof in enumerate(proofs, start=1):
        print(f"[{number}/{len(proofs)}] {proof.claim}", flush=True)
        if not options.again and _is_done(path, proof):
            print("    passed already, with the same sources", flush=True)
            continue
        failed += not _run(proof, path)
    write_document(results.read(path))
    print(f"{len(proofs) - failed} of {len(proofs)} proofs hold; results in {path}")
    return 1 if failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run the proofs of an issue at full size.")
    parser.add_argument("issue", choices=sorted(PROOFS))
    default = os.environ.get("SIAX_PROOF_RESULTS", str(ROOT / "build" / "proofs.jsonl"))
    parser.add_argument("--results", type=Path, default=Path(default))
    parser.add_argument("--only", default="", help="those whose claim contains these words")
    parser.add_argument("--again", action="store_true", help="also those that have passed")
    return parser.parse_args()


def _is_done(path: Path, proof: Proof) -> bool:
    same = [e for e in results.read(path) if e["commit"] == results.source_state()]
    return passed(same, proof) is not None


def _run(proof: Proof, path: Path) -> bool:
    run = uuid.uuid4().hex
    sized = {"SIAX_PROOF": "full", "SIAX_PROOF_RESULTS": str(path), "SIAX_PROOF_RUN": run}
    module = ["pytest", "-q", "-s", *proof.tests] if proof.tests else [*proof.command]
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", *module],
        cwd=ROOT,
        env={**os.environ, **sized},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    seconds = round(time.monotonic() - started, 1)
    holds = done.returncode == 0
    os.environ["SIAX_PROOF_RUN"] = run
    verdict = {"kind": "verdict", "key": proof.key, "passed": holds, "seconds": seconds}
    results.append(path, verdict)
    print(f"    {'holds' if holds else 'FAILED'} after {seconds} s", flush=True)
    if not holds:
        print("\n".join(done.stdout.splitlines()[-LAST_LINES:]), flush=True)
    return holds


if __name__ == "__main__":
    raise SystemExit(main())
