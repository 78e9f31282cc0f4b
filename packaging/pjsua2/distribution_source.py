"""PJSIP from Debian's source package `asterisk`, whose component `orig-Xpjproject` it is.

Owns a private apt root: the machine's own apt configuration and state stay as they are, and no
root is needed. apt verifies the archive through the distribution's signature. Must not know of the
other sources.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from progress import Progress, SetupError

MIRROR_VARIABLE = "SIAX_DEBIAN_MIRROR"
SUITE = "sid"
PACKAGE = "asterisk"
COMPONENT = "orig-Xpjproject"

KEYRINGS = (
    Path("/usr/share/keyrings/debian-archive-keyring.gpg"),
    Path("/usr/share/keyrings/debian-archive-keyring.pgp"),
)
APT_HELPER = Path("/usr/lib/apt/apt-helper")
TIMEOUT_S = 300

# apt-get --print-uris: 'URI' file-name octets SHA256:digest
_URI_LINE = re.compile(
    rf"^'(?P<uri>[^']+)' (?P<name>\S*\.{COMPONENT}\.(?P<compression>tar\.\w+))"
    r" \d+ (?P<hash>SHA\d+:\w+)$",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class AptRoot:
    """A folder that holds apt's sources, lists and state of its own."""

    folder: Path

    def options(self) -> list[str]:
        """The options that point apt at this folder instead of the machine's."""
        return [
            f"-oDir::Etc::SourceList={self.folder}/sources.list",
            "-oDir::Etc::SourceParts=/dev/null",
            *self.state_options(),
        ]

    def state_options(self) -> list[str]:
        """The same with the machine's own sources."""
        return [
            f"-oDir::State::Lists={self.folder}/lists",
            f"-oDir::State::status={self.folder}/status",
            f"-oDir::Cache={self.folder}/cache",
            "-oAcquire::Check-Valid-Until=false",
            "-oAcquire::Languages=none",
            "-oAPT::Sandbox::User=",
            "-oAPT::Update::Post-Invoke-Success::=",
        ]

    def prepare(self, source_line: str) -> None:
        """Makes the folder, with one line of sources."""
        (self.folder / "lists" / "partial").mkdir(parents=True)
        (self.folder / "cache" / "archives" / "partial").mkdir(parents=True)
        (self.folder / "sources.list").write_text(source_line + "\n")
        (self.folder / "status").touch()


def fetch(scratch: Path, progress: Progress) -> Path:
    """Downloads the component of the newest source package.

    Raises:
        SetupError: This machine has no apt, knows no Debian mirror, or cannot reach it.
    """
    mirror = os.environ.get(MIRROR_VARIABLE) or _machine_mirror(scratch)
    root = AptRoot(scratch / "apt")
    root.prepare(f"deb-src [signed-by={_keyring()}] {mirror} {SUITE} main")
    _run(["apt-get", *root.options(), "-qq", "update"])
    listing = _run(["apt-get", *root.options(), "-qq", "--print-uris", "source", PACKAGE])
    found = _URI_LINE.search(listing)
    if found is None:
        raise SetupError(f"{PACKAGE} of {SUITE} has no component {COMPONENT} any more")
    progress.say(f"source: {found['name']}")
    archive = scratch / f"pjproject.{found['compression']}"
    helper = [str(APT_HELPER), *root.options(), "download-file"]
    _run([*helper, found["uri"], str(archive), found["hash"]])
    return archive


def _machine_mirror(scratch: Path) -> str:
    """The first Debian mirror of the machine's own apt configuration."""
    mirror = _first_debian_target([])
    if mirror is None:  # origins are known from the lists alone, which a small image leaves out
        root = AptRoot(scratch / "machine")
        root.prepare("")
        _run(["apt-get", *root.state_options(), "-qq", "update"])
        mirror = _first_debian_target(root.state_options())
    if mirror is None:
        raise SetupError(
            f"apt is configured for no Debian mirror; name one: {MIRROR_VARIABLE}=http://..."
        )
    return mirror


def _first_debian_target(options: list[str]) -> str | None:
    form = "$(ORIGIN) $(LABEL) $(REPO_URI)"
    targets = _run(["apt-get", *options, "indextargets", "--format", form, "Created-By: Packages"])
    fields = (line.split() for line in targets.splitlines())
    return next((f[2] for f in fields if f[:2] == ["Debian", "Debian"]), None)


def _keyring() -> Path:
    for path in KEYRINGS:
        if path.exists():
            return path
    raise SetupError("Debian's keys are missing: install the package debian-archive-keyring")


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(
            command,
            env={**os.environ, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=True,
        )
    except FileNotFoundError as error:
        raise SetupError(f"{command[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise SetupError(f"{Path(command[0]).name}: no end within {TIMEOUT_S} s") from error
    except subprocess.CalledProcessError as error:
        lines = error.stderr.strip().splitlines() or [f"status {error.returncode}"]
        raise SetupError(f"{Path(command[0]).name}: {lines[0]}") from error
    return done.stdout
