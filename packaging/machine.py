"""System packages: what is needed, what of it is missing, and how it gets here.

Owns the lists of packages. Looks for commands and headers instead of asking the package manager,
so that what was installed by other means counts too. Must not know of virtual environments.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import sysconfig
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from progress import Progress, SetupError

_INCLUDE_FOLDERS = ("/usr/include", "/usr/local/include", "/usr/include/*-linux-*")
_APT_INSTALL = ("apt-get", "install", "-y", "--no-install-recommends")


@dataclass(frozen=True, slots=True)
class Requirement:
    """A package of Debian and Ubuntu, and how to see that what it brings is there."""

    package: str
    is_met: Callable[[], bool]


def _commands(package: str, *names: str) -> Requirement:
    return Requirement(package, lambda: all(shutil.which(name) for name in names))


def _header(package: str, name: str) -> Requirement:
    def is_met() -> bool:
        found = (Path("/").glob(f"{folder[1:]}/{name}") for folder in _INCLUDE_FOLDERS)
        return any(any(paths) for paths in found)

    return Requirement(package, is_met)


def _python(part: str, is_met: Callable[[], bool]) -> Requirement:
    return Requirement(f"python{sys.version_info.major}.{sys.version_info.minor}-{part}", is_met)


def _has_python_header() -> bool:
    return Path(sysconfig.get_path("include"), "Python.h").exists()


def _has_ensurepip() -> bool:
    return importlib.util.find_spec("ensurepip") is not None


TO_BUILD = (
    _commands("build-essential", "g++", "make"),
    _commands("git", "git"),
    _commands("swig", "swig"),
    _commands("xz-utils", "xz"),
    _header("libsamplerate0-dev", "samplerate.h"),
    _header("libsrtp2-dev", "srtp2/srtp.h"),
    _header("libssl-dev", "openssl/ssl.h"),
    _python("dev", _has_python_header),
    _python("venv", _has_ensurepip),
)
TO_TEST = (
    _commands("linphone-cli", "linphonec"),
    _commands("sip-tester", "sipp"),
    _commands("tshark", "tshark"),
)


def ensure(requirements: Sequence[Requirement], progress: Progress) -> None:
    """Installs what is missing where this runs as root.

    Raises:
        SetupError: Something is missing and cannot be installed; the text has the command to run.
    """
    missing = _missing(requirements)
    if not missing:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise SetupError(_request(missing))
    _install(missing, progress)
    if still_missing := _missing(requirements):
        raise SetupError(
            f"{', '.join(still_missing)}: installed, yet {sys.executable} and this machine's"
            " compiler do not find what belongs to it"
        )


def _missing(requirements: Sequence[Requirement]) -> list[str]:
    return [requirement.package for requirement in requirements if not requirement.is_met()]


def _install(packages: list[str], progress: Progress) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    progress.run("update the package lists", ["apt-get", "update"], environment=environment)
    name = f"install {' '.join(packages)}"
    progress.run(name, [*_APT_INSTALL, *packages], environment=environment)


def _request(packages: list[str]) -> str:
    names = " ".join(packages)
    if shutil.which("apt-get") is None:
        return f"missing, by their names in Debian: {names}\nInstall them and run this again."
    command = f"apt-get update && {' '.join(_APT_INSTALL)} {names}"
    run_it = f"sudo sh -c '{command}'" if shutil.which("sudo") else f"su -c '{command}'"
    return f"system packages are missing: {names}\nInstall them and run this again:\n\n{run_it}\n"
