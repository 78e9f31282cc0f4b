"""Other programs of Debian's that tests need, fetched as the lab fetches its Asterisks."""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.lab.asterisk_fetch import PrivateApt, _locked, add_libraries, cache_folder, loader

SUITE = "bookworm"


def fetch_package(package: str) -> Path:
    """The folder with the files of a package, of the newest version in the suite, nothing else.

    Raises:
        LabError: No mirror, no network, or a tool of Debian's is missing.
    """
    return _fetch(package, SUITE)


def fetch_program(package: str, suite: str, loaded: Sequence[str]) -> tuple[Path, list[str]]:
    """The folder with a package and its libraries, and the command that runs its program.

    Args:
        package: The package that holds all that is loaded.
        suite: The release of Debian.
        loaded: Where the program and then its modules are, in the package.

    Raises:
        LabError: As of `fetch_package`.
    """
    folder = _fetch(package, suite, loaded)
    return folder, [*loader(folder), str(folder / loaded[0])]


def _fetch(package: str, suite: str, loaded: Sequence[str] = ()) -> Path:
    apt = PrivateApt(cache_folder() / "apt" / suite, suite)
    with _locked(apt.folder / "lock"):
        apt.refresh()
        folder = cache_folder() / "tools" / f"{package}-{apt.version(package).replace(':', '-')}"
        if not folder.exists():
            folder.parent.mkdir(parents=True, exist_ok=True)
            building = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".building-"))
            if loaded:
                # The loader comes with the C library, which nothing names by a soname alone.
                apt.unpack([package, "libc6"], building)
                add_libraries(apt, building, package, [building / path for path in loaded])
            else:
                apt.unpack([package], building)
            building.chmod(0o755)
            building.rename(folder)
    return folder


def fail2ban_regex() -> tuple[list[str], dict[str, str]]:
    """The command that tries a filter on a log, and what its environment has to hold."""
    folder = fetch_package("fail2ban")
    environment = {"PYTHONPATH": str(folder / "usr/lib/python3/dist-packages")}
    configuration = ["--config", str(folder / "etc/fail2ban")]
    return [sys.executable, str(folder / "usr/bin/fail2ban-regex"), *configuration], environment
