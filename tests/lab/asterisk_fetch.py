"""Fetches and unpacks real Asterisks, as any user, without root and without a container.

Owns the private apt root and the cache of unpacked trees, both outside the repository
(`$SIAX_CACHE`, else `$XDG_CACHE_HOME/siax`, else `~/.cache/siax`). It knows nothing of how an
Asterisk is configured, except that the modules which the lab loads must find their libraries.

    python -m tests.lab.asterisk_fetch sid bullseye
"""

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.lab import LabError
from tests.lab.asterisk_modules import ALL_MODULES

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
LISTS_FRESH_S = 24 * 3600.0
WANTED = ("asterisk", "asterisk-modules", "asterisk-core-sounds-en-gsm")
VERSION_FILE = "siax-complete-version"
"""Written last into an unpacked tree: it is complete, and which version it is."""
SUITES = {"22": "sid", "16": "bullseye"}
"""Where each Asterisk of the proofs lives: "22" is whatever is newest in sid."""


@dataclass(frozen=True, slots=True)
class AsteriskTree:
    """An unpacked Asterisk with its own libc, ready to run from where it lies."""

    root: Path
    version: str

    @property
    def modules(self) -> Path:
        """The folder of loadable modules; it differs between Debian releases."""
        return _only(self.root.glob("usr/lib/**/asterisk/modules"), "modules", self.root)

    @property
    def data(self) -> Path:
        """`astdatadir`: documentation and sounds."""
        return self.root / "usr/share/asterisk"

    def command(self) -> list[str]:
        """The argument vector that runs this Asterisk with its own loader and libraries."""
        return [*loader(self.root), str(self.root / "usr/sbin/asterisk")]


def fetch_asterisk(suite: str) -> AsteriskTree:
    """Returns the newest Asterisk of a Debian suite, from the cache where it lies there.

    Raises:
        LabError: No mirror, no network and no cached tree, or a tool of Debian's is missing.
    """
    apt = PrivateApt(cache_folder() / "apt" / suite, suite)
    with _locked(apt.folder / "lock"):
        try:
            apt.refresh()
            version = apt.version("asterisk")
        except LabError as error:
            return _newest_cached(suite, error)
        # Asterisk 16 opens its documentation by URL: only plain characters in the path.
        root = _trees(suite) / re.sub(r"[^0-9A-Za-z.]+", "-", version)
        if not (root / VERSION_FILE).exists():
            _unpack_whole(apt, root, version)
    return AsteriskTree(root, version)


def cache_folder() -> Path:
    """Where everything that is fetched is kept."""
    own = os.environ.get("SIAX_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(own) if own else Path(base) / "siax"


def debian_mirror() -> str:
    """The mirror that this machine's apt uses for Debian itself.

    Raises:
        LabError: There is none, and SIAX_DEBIAN_MIRROR is not set.
    """
    listing = ["apt-get", "indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(REPO_URI)"]
    for line in _run([*listing, "Created-By: Packages"]).splitlines():
        origin, label, uri = line.split("|", 2)
        if (origin, label) == ("Debian", "Debian"):  # the security archive has another label
            return uri
    if named := os.environ.get("SIAX_DEBIAN_MIRROR"):
        return named
    raise LabError(
        "no Debian mirror: this machine's apt lists no index of Origin Debian (run apt-get"
        " update), and SIAX_DEBIAN_MIRROR does not name one"
    )


class PrivateApt:
    """An apt root of our own for one suite: no root rights, and no trace in the system's."""

    def __init__(self, folder: Path, suite: str) -> None:
        self.folder = folder
        self._suite = suite
        for name in ("lists/partial", "cache/archives/partial", "debs"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / "status").touch()

    def refresh(self) -> None:
        """Fetches the package lists when there are none, or when they are older than a day."""
        stamp = self.folder / "refreshed"
        if stamp.exists() and time.time() - stamp.stat().st_mtime < LISTS_FRESH_S:
            return
        source = f"deb [signed-by={KEYRING}] {debian_mirror()} {self._suite} main\n"
        (self.folder / "sources.list").write_text(source)
        # apt calls a lists file that it could not renew a warning, unless told otherwise.
        self._call("apt-get", "-qq", "-oAPT::Update::Error-Mode=any", "update")
        stamp.touch()

    def version(self, package: str) -> str:
        """The newest version of a package in the suite."""
        shown = self._call("apt-cache", "show", "--no-all-versions", package)
        found = re.search(r"^Version: (\S+)$", shown, re.MULTILINE)
        if found is None:
            raise LabError(f"suite {self._suite} has no package {package}")
        return found[1]

    def libraries_of(self, packages: Iterable[str]) -> list[str]:
        """The library packages that packages depend on, directly and through each other."""
        found: list[str] = []
        level = list(packages)
        while level:
            named = self._depends(level)
            level = [name for name in dict.fromkeys(named) if name not in found]
            found += level
        return found

    def _depends(self, packages: Sequence[str]) -> list[str]:
        shown = self._call("apt-cache", "-oAPT::Cache::ShowOnlyFirstOr=true", "depends", *packages)
        return re.findall(r"^  (?:Pre)?Depends: ((?:lib|zlib)\S+)$", shown, re.MULTILINE)

    def unpack(self, packages: Sequence[str], root: Path) -> None:
        """Downloads packages, checked by apt against the signed lists, and unpacks them."""
        with tempfile.TemporaryDirectory(dir=self.folder / "debs") as folder:
            self._call("apt-get", "-qq", "download", *packages, cwd=folder)
            for archive in Path(folder).glob("*.deb"):
                _run(["dpkg-deb", "-x", str(archive), str(root)])

    def _call(self, tool: str, *arguments: str, cwd: str | None = None) -> str:
        own = self.folder
        options = {
            "Dir::Etc::SourceList": str(own / "sources.list"),
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::State::Lists": str(own / "lists"),
            "Dir::Cache": str(own / "cache"),
            # Containers often switch apt's caches off, and each query then costs a second.
            "Dir::Cache::pkgcache": "pkgcache.bin",
            "Dir::Cache::srcpkgcache": "srcpkgcache.bin",
            "Dir::State::status": str(own / "status"),
            "Acquire::Check-Valid-Until": "false",
            "Acquire::Languages": "none",
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",
            "Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled": "false",
            "APT::Sandbox::User": "",
            "APT::Update::Post-Invoke": "",
            "APT::Update::Post-Invoke-Success": "",
        }
        return _run([tool, *(f"-o{k}={v}" for k, v in options.items()), *arguments], cwd=cwd)


def _unpack_whole(apt: PrivateApt, root: Path, version: str) -> None:
    """Unpacks Asterisk and the libraries of what the lab loads, then makes the tree visible."""
    root.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(dir=root.parent, prefix=".building-"))
    try:
        apt.unpack([*WANTED, *apt.libraries_of(["asterisk"])], building)
        modules = AsteriskTree(building, "").modules
        loaded = [path for name in ALL_MODULES if (path := modules / f"{name}.so").exists()]
        executable = building / "usr/sbin/asterisk"
        # The package of modules depends on libraries for all of them, 60 MB; the lab loads few.
        add_libraries(apt, building, "asterisk-modules", [executable, *loaded])
        (building / VERSION_FILE).write_text(version)
        shutil.rmtree(root, ignore_errors=True)
        building.chmod(0o755)
        building.rename(root)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def add_libraries(apt: PrivateApt, root: Path, package: str, loaded: Sequence[Path]) -> None:
    """Fetches what some programs and modules of a package still miss, and no more than that.

    Raises:
        LabError: A library is in no package that this one depends on, or cannot be fetched.
    """
    known = apt.libraries_of([package])
    unpacked: set[str] = set()
    while missing := _missing_sonames(root, loaded):
        named = {p for soname in missing for p in known if _may_hold(p, soname)} - unpacked
        if not named:
            raise LabError(f"no dependency of {package} is named like {sorted(missing)}")
        packages = named | (set(apt.libraries_of(sorted(named))) - unpacked)
        apt.unpack(sorted(packages), root)
        unpacked |= packages


def _may_hold(package: str, soname: str) -> bool:
    """Whether a package is named after a library as Debian's policy (8.1) has it."""
    stem, _, number = soname.partition(".so.")
    plain = re.sub(r"[^a-z0-9+]", "", f"{stem}{number}".lower())
    return re.sub(r"[^a-z0-9+]", "", package).removesuffix("t64").startswith(plain)


def _missing_sonames(root: Path, loaded: Sequence[Path]) -> set[str]:
    missing: set[str] = set()
    for path in loaded:
        # As ldd does it: with --list a new loader stops at the first library that is missing.
        listed = subprocess.run(
            [*loader(root), str(path)],
            env={"LD_TRACE_LOADED_OBJECTS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        missing.update(re.findall(r"^\s*(\S+) => not found", listed.stdout, re.MULTILINE))
    return missing


def loader(root: Path) -> list[str]:
    """The command that runs a program of an unpacked tree with the tree's own libraries."""
    candidates = [*root.glob("**/ld-linux*.so.*"), *root.glob("**/ld-2*.so")]
    # Bullseye's ld-linux is an absolute link that leads out of the tree.
    own = [path for path in candidates if path.is_file() and not path.is_symlink()]
    loader = _only(own, "dynamic loader", root)
    folders = [*root.glob("lib/*-linux-gnu"), *root.glob("usr/lib/*-linux-gnu"), root / "usr/lib"]
    # Nor may what the machine itself has installed be taken for a part of the tree.
    paths = ":".join(map(str, folders))
    return [str(loader), "--inhibit-cache", "--library-path", paths]


def _only(paths: Iterable[Path], what: str, root: Path) -> Path:
    first = next(iter(paths), None)
    if first is None:
        raise LabError(f"what is unpacked in {root} has no {what}; delete that folder")
    return first


def _trees(suite: str) -> Path:
    return cache_folder() / "asterisk" / suite


def _newest_cached(suite: str, reason: LabError) -> AsteriskTree:
    complete = sorted(
        _trees(suite).glob(f"*/{VERSION_FILE}"), key=lambda path: path.stat().st_mtime
    )
    if not complete:
        raise LabError(f"cannot fetch Asterisk of {suite}: {reason}") from reason
    root = complete[-1].parent
    print(f"using the cached Asterisk of {suite}: {reason}", file=sys.stderr)
    return AsteriskTree(root, (root / VERSION_FILE).read_text())


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One fetch at a time: several test runs may share the cache."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _run(command: Sequence[str], cwd: str | None = None) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)
    except FileNotFoundError as error:
        raise LabError(f"{command[0]} is missing: real Asterisk peers need a Debian") from error
    if done.returncode != 0:
        raise LabError(f"{Path(command[0]).name} failed: {done.stderr.strip()}")
    return done.stdout


def _main(suites: Sequence[str]) -> None:
    for suite in suites or tuple(SUITES.values()):
        started = time.monotonic()
        tree = fetch_asterisk(suite)
        print(f"{suite}: Asterisk {tree.version} in {time.monotonic() - started:.1f} s")


if __name__ == "__main__":
    _main(sys.argv[1:])
