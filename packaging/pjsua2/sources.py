"""Where PJSIP's source comes from: the user, a copy of before, upstream, or the distribution.

Owns the order of the sources and what is told of each. Must not know how PJSIP is compiled.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import distribution_source
import git_source
from progress import Progress, SetupError

NAMED_SOURCE_VARIABLE = "SIAX_PJPROJECT"
MINIMUM_VERSION = (2, 17)

# The distribution's archive that this was built and tested with.
TESTED_SHA256 = "6860c2f7604b4eee75f38151a9ef69774eb3f0c5286fc1d14bc1db2dc5a9e8aa"

_BUILD_PRODUCTS = shutil.ignore_patterns(".git", "*.o", "*.a", "*.depend", "output")

_CACHED_NAME = re.compile(r"pjproject-(?P<route>[a-z]+)-(?P<sha256>[0-9a-f]{64})\.tar")


@dataclass(frozen=True, slots=True)
class Source:
    """A source tree or an archive of one, and in words where it is from."""

    path: Path
    origin: str


Route = Callable[[Path, Progress], Path]
ROUTES: Mapping[str, tuple[str, Route]] = {
    "git": (f"upstream's git at {git_source.TAG}", git_source.fetch),
    "distribution": ("the distribution's source package", distribution_source.fetch),
}


def named_source(path: Path) -> Source:
    """Takes a folder or an archive that the user names.

    Raises:
        SetupError: There is nothing at the path.
    """
    if not path.exists():
        raise SetupError(f"there is no folder or archive of PJSIP at {path}")
    return Source(path.resolve(), "the named source")


def identity(source: Source) -> str:
    """Tells named sources apart: an archive by its content, a folder by its files' times."""
    if source.path.is_file():
        return sha256_of(source.path)
    digest = hashlib.sha256()
    for path in sorted(source.path.rglob("*.[ch]*")):
        status = path.stat()
        digest.update(f"{path}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def find(cache: Path, progress: Progress, only: str | None = None) -> Source:
    """Finds the source: a cached copy, else the first route that works.

    Args:
        cache: Where archives are kept, named by their origin and SHA-256.
        progress: Told what is tried.
        only: The name of the one route to take, not even looking into the cache.

    Raises:
        SetupError: No route works; the text says for each why not.
    """
    if only is None and (cached := next(_cached(cache), None)):
        progress.say(f"source: {cached.origin}")
        return cached
    failures = []
    for name in [only] if only else ROUTES:
        title, fetch = ROUTES[name]
        progress.say(f"source: {title}")
        try:
            return _keep(name, title, fetch, cache, progress)
        except SetupError as error:
            progress.say(f"source: {title}: not to be had: {error}")
            failures.append(f"    {title}: {error}")
    reasons = "\n".join(failures)
    raise SetupError(
        f"no source of PJSIP can be reached:\n{reasons}\n"
        f"Name a folder or archive of pjproject 2.17 or newer: {NAMED_SOURCE_VARIABLE}=PATH"
    )


def unpack(source: Source, destination: Path, progress: Progress) -> None:
    """Copies or unpacks the source, so that the build leaves the original alone.

    Raises:
        SetupError: It cannot be unpacked.
    """
    destination.mkdir(parents=True)
    if source.path.is_dir():
        shutil.copytree(source.path, destination, ignore=_BUILD_PRODUCTS, dirs_exist_ok=True)
        return
    options = ["--no-same-owner", "--strip-components=1"]
    progress.run("unpack", ["tar", "-C", destination, *options, "-xf", source.path])


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _keep(name: str, title: str, fetch: Route, cache: Path, progress: Progress) -> Source:
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=".fetch-") as scratch:
        fetched = fetch(Path(scratch), progress)
        digest = sha256_of(fetched)
        kept = cache / f"pjproject-{name}-{digest}{''.join(fetched.suffixes[-2:])}"
        fetched.replace(kept)
    note = " (the tested one)" if digest == TESTED_SHA256 else ""
    progress.say(f"source: sha256 {digest}{note}")
    return Source(kept, title)


def _cached(cache: Path) -> Iterator[Source]:
    newest_first = sorted(cache.glob("pjproject-*"), key=lambda p: p.stat().st_mtime)[::-1]
    for path in newest_first:
        found = _CACHED_NAME.match(path.name)
        if found and found["route"] in ROUTES and sha256_of(path) == found["sha256"]:
            title = ROUTES[found["route"]][0]
            yield Source(path, f"a copy kept from {title}, sha256 {found['sha256']}")
