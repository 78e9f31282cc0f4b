"""Other programs of Debian's that tests need, fetched as the lab fetches its Asterisks."""

import sys
import tempfile
from pathlib import Path

from tests.lab.asterisk_fetch import PrivateApt, _locked, cache_folder

SUITE = "bookworm"


def fetch_package(package: str) -> Path:
    """The folder with the files of a package, of the newest version in the suite, nothing else.

    Raises:
        LabError: No mirror, no network, or a tool of Debian's is missing.
    """
    apt = PrivateApt(cache_folder() / "apt" / SUITE, SUITE)
    with _locked(apt.folder / "lock"):
        apt.refresh()
        folder = cache_folder() / "tools" / f"{package}-{apt.version(package).replace(':', '-')}"
        if not folder.exists():
            folder.parent.mkdir(parents=True, exist_ok=True)
            building = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".building-"))
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
