"""`make fuzz`: attack the IAX2 engine for a while, and say how many inputs it stood.

python -m tests.fuzz.run [--seconds S] [--inputs N] [--seed FIRST] [--episodes N] [--jobs N]

Most of the time goes to seeded episodes on endpoints in every phase of a call; then atheris looks
for new branches, and the Hypothesis tests of the engine run from fresh seeds. Whatever breaks is
printed with its seed: `--seed S --episodes 1` runs it again.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from importlib.util import find_spec
from typing import Final

from tests.fuzz.episodes import EndpointBrokeError, run_episodes
from tests.lab.results import ROOT, record

CORPUS: Final = ROOT / "build" / "fuzz" / "corpus"
_EPISODES_AT_ONCE: Final = 100
_TELL_EVERY_S: Final = 60.0
_EPISODES_SHARE: Final = 0.75
_GUIDED_SHARE: Final = 0.2
_SEEDS: Final = 1 << 40
_HYPOTHESIS_TESTS: Final = (
    "tests/unit/test_endpoint_hostile.py",
    "tests/unit/test_frames.py",
    "tests/unit/test_elements.py",
)


def main() -> int:
    """Run all parts; 1 when something broke."""
    options = _options()
    try:
        _run_episodes(options)
    except EndpointBrokeError as error:
        print(f"\nBROKEN: {error}", flush=True)
        return 1
    if options.episodes:
        return 0
    return _run_guided(options.seconds * _GUIDED_SHARE) or _run_hypothesis()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Attack the IAX2 engine.")
    parser.add_argument("--seconds", type=float, default=600.0, help="how long, about")
    parser.add_argument("--inputs", type=int, default=0, help="at least so many to the endpoint")
    parser.add_argument("--seed", type=int, default=time.time_ns() % _SEEDS, help="the first one")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="at a time")
    parser.add_argument("--episodes", type=int, default=0, help="so many and nothing else")
    return parser.parse_args()


def _run_episodes(options: argparse.Namespace) -> None:
    """Run episodes on all cores until time and inputs are reached, and record the figures.

    Raises:
        EndpointBrokeError: something broke; the seed is in its text.
    """
    started = told = time.monotonic()
    deadline = started + options.seconds * _EPISODES_SHARE
    inputs, seed, running = 0, options.seed, set[Future[int]]()
    with ProcessPoolExecutor(options.jobs) as pool:
        while True:
            now = time.monotonic()
            enough = now >= deadline and inputs >= options.inputs
            while len(running) < options.jobs and (batch := _batch(options, seed, enough=enough)):
                running.add(pool.submit(run_episodes, seed, batch))
                seed += batch
            if not running:
                break
            done, running = wait(running, return_when=FIRST_COMPLETED)
            inputs += sum(future.result() for future in done)
            if now - told >= _TELL_EVERY_S:
                told = now
                print(f"{inputs:,} inputs so far", flush=True)
    _tell(options.seed, seed - options.seed, inputs, time.monotonic() - started)


def _batch(options: argparse.Namespace, seed: int, *, enough: bool) -> int:
    """Return how many episodes from a seed on are to be run next, none at the end."""
    if options.episodes:
        left: int = options.seed + options.episodes - seed
        return min(_EPISODES_AT_ONCE, left)
    return 0 if enough else _EPISODES_AT_ONCE


def _tell(first_seed: int, episodes: int, inputs: int, seconds: float) -> None:
    figures = {
        "endpoint_inputs": f"{inputs:,}",
        "episodes": f"{episodes:,}",
        "first seed": first_seed,
        "inputs/s": round(inputs / seconds),
        "broken": 0,
    }
    record("fuzz of the endpoint", figures)
    print(", ".join(f"{name} {value}" for name, value in figures.items()), flush=True)


def _run_guided(seconds: float) -> int:
    """Run atheris where it is installed; there are no wheels of it for every Python."""
    if find_spec("atheris") is None:
        print("atheris has no wheel for this Python: coverage-guided fuzzing is left out")
        return 0
    CORPUS.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.fuzz.guided", str(CORPUS)),
            *(f"-max_total_time={max(round(seconds), 1)}", "-max_len=1500", "-timeout=10"),
            f"-artifact_prefix={CORPUS.parent}/",
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    runs = re.search(r"Done (\d+) runs", done.stdout)
    if done.returncode or runs is None:
        print(f"BROKEN under atheris:\n{done.stdout[-8000:]}", flush=True)
        return 1
    figures = {
        "runs": f"{int(runs[1]):,}",
        "corpus": sum(1 for _ in CORPUS.iterdir()),
        "seconds": round(seconds),
    }
    record("atheris on parsers and endpoint", figures)
    print("atheris: " + ", ".join(f"{name} {value}" for name, value in figures.items()))
    return 0


def _run_hypothesis() -> int:
    """Run the engine's Hypothesis tests from seeds of their own."""
    seed = str(time.time_ns() % _SEEDS)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, f"--hypothesis-seed={seed}", *_HYPOTHESIS_TESTS],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        print(f"BROKEN under Hypothesis, seed {seed}:\n{done.stdout[-8000:]}", flush=True)
        return 1
    print(f"Hypothesis: {done.stdout.splitlines()[-1]}, seed {seed}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
