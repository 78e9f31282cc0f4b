"""Finds or builds the wheel of pjsua2 for the Python that runs this, and prints its path.

Owns the wheels in the cache. Needs the standard library alone, since it runs before
there is a virtual environment. Must not know of virtual environments nor of pip.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# cache.py and progress.py serve the whole set-up and lie one folder up.
sys.path.append(str(Path(__file__).resolve().parent.parent))

import compiler
import recipe
import sources
import wheel
from cache import cache_folder
from progress import Progress, SetupError


def main() -> int:
    """Prints the wheel's path, or with --key its key in the cache; 1 when there is no way."""
    arguments = _parse()
    try:
        named = sources.named_source(arguments.source) if arguments.source else None
        key = recipe.key(sources.identity(named) if named else "")
        if arguments.key:
            print(key)
            return 0
        print(_wheel_of(key, named, arguments))
    except SetupError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Finds or builds the wheel of pjsua2")
    parser.add_argument(
        "--source",
        type=Path,
        default=os.environ.get(sources.NAMED_SOURCE_VARIABLE),
        help=f"a folder or archive of pjproject (or {sources.NAMED_SOURCE_VARIABLE})",
    )
    parser.add_argument("--route", choices=sources.ROUTES, help="take PJSIP from here alone, anew")
    parser.add_argument("--rebuild", action="store_true", help="build even if the cache has it")
    parser.add_argument("--key", action="store_true", help="print the key and do nothing")
    return parser.parse_args()


def _wheel_of(key: str, named: sources.Source | None, arguments: argparse.Namespace) -> Path:
    wheels = cache_folder() / "wheels"
    with _locked(wheels / f"{key}.lock"):
        cached = _newest(wheels, key)
        if cached and not (arguments.rebuild or arguments.route):
            return cached
        progress = Progress(cache_folder() / "logs" / f"{key}.log")
        print(f"Building the wheel of pjsua2 with {compiler.jobs()} CPUs", file=sys.stderr)
        source = named or sources.find(cache_folder() / "sources", progress, arguments.route)
        return _build(key, source, wheels, progress)


def _newest(wheels: Path, key: str) -> Path | None:
    found = wheels.glob(wheel.file_name("*", key))
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


def _build(key: str, source: sources.Source, wheels: Path, progress: Progress) -> Path:
    with tempfile.TemporaryDirectory(dir=cache_folder(), prefix="build-") as scratch:
        tree, output = Path(scratch) / "pjproject", Path(scratch) / "output"
        sources.unpack(source, tree, progress)
        version = _checked_version(tree)
        progress.say(f"pjproject {version} from {source.origin}")
        module = compiler.compile_module(compiler.Build(tree, output, progress))
        fresh = wheel.write(module, version, key, Path(scratch))
        finished = fresh.replace(wheels / fresh.name)
    octets = finished.stat().st_size
    progress.say(f"{finished.name}: {octets / 1e6:.1f} MB")
    return finished


def _checked_version(tree: Path) -> str:
    version = compiler.version(tree)
    text = ".".join(map(str, version))
    if version < sources.MINIMUM_VERSION:
        wanted = ".".join(map(str, sources.MINIMUM_VERSION))
        raise SetupError(f"this is pjproject {text}; {wanted} or newer is needed")
    return text


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Lets a second build of the same wheel wait for the first and then take its result."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Waiting for another build of the same wheel", file=sys.stderr)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    sys.exit(main())
