"""The virtual environment: made once, and its parts renewed when what they are made of changes.

Owns the stamps within it that say what is installed. Must not know of system packages, nor how the
wheel of pjsua2 is built.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from progress import Progress, SetupError

MINIMUM_PYTHON = (3, 11)

_BUILD_RELAY = Path(__file__).resolve().with_name("relay") / "build.py"
_BUILD_WHEEL = Path(__file__).resolve().with_name("pjsua2") / "build.py"
_PIP = ("-m", "pip", "--disable-pip-version-check", "--no-input")
_SHOW_PLACE = "import sysconfig; print(sysconfig.get_path('platlib'))"
_SHOW_VERSION = "import sys, pip; print(*sys.version_info[:2])"


@dataclass(frozen=True, slots=True)
class Environment:
    """The folder of a virtual environment for the project in the folder `root`."""

    root: Path
    progress: Progress

    @property
    def folder(self) -> Path:
        """Where it is."""
        return self.root / ".venv"

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    def ensure(self) -> None:
        """Makes it, or takes a working one as it is, be it of an earlier set-up or the user's.

        One that was moved or whose interpreter is gone is made anew.
        """
        version = self._version()
        here = f"{self.folder} {version}"
        if version >= MINIMUM_PYTHON and self._stamp("environment") in {"", here}:
            self._set_stamp("environment", here)
            return
        command = [sys.executable, "-m", "venv", "--clear", self.folder]
        self.progress.run("make the virtual environment", command)
        self._set_stamp("environment", f"{self.folder} {self._version()}")

    def ensure_pjsua2(self) -> None:
        """Installs the wheel that belongs to the sources in this tree, built if need be."""
        key = self._build_wheel("--key")
        if self._stamp("pjsua2") == key:
            return
        wheel = self._build_wheel()
        self._pip("install pjsua2", "--no-deps", "--force-reinstall", wheel)
        self._set_stamp("pjsua2", key)

    def ensure_relay(self) -> None:
        """Installs the compiled relay that belongs to the sources in this tree."""
        place = self._place_of_modules()
        command = [str(self.python), "-B", str(_BUILD_RELAY)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode != 0:
            raise SetupError("the compiled relay cannot be built; docs/building.md has more")
        module = Path(done.stdout.strip())
        key = module.parent.name
        if self._stamp("relay") != key or not (place / module.name).exists():
            self.progress.say("install the compiled relay")
            copy = place / f"{module.name}.new"
            shutil.copyfile(module, copy)
            copy.replace(place / module.name)
            self._set_stamp("relay", key)

    def _place_of_modules(self) -> Path:
        command = [str(self.python), "-c", _SHOW_PLACE]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return Path(done.stdout.strip())

    def ensure_project(self, extra: str) -> None:
        """Installs the project, editable, with its dependencies and those of an extra or ""."""
        state = hashlib.sha256((self.root / "pyproject.toml").read_bytes()).hexdigest()
        # What has more than is asked for will do.
        if self._stamp("project") in {f"{state} {extra}", f"{state} dev"}:
            return
        target = f"{self.root}[{extra}]" if extra else str(self.root)
        self._pip("install Python packages", "--editable", target)
        self._set_stamp("project", f"{state} {extra}")

    def _version(self) -> tuple[int, ...]:
        """Of its Python; () where that, or pip, does not work."""
        command = [str(self.python), "-c", _SHOW_VERSION]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            return ()
        return tuple(map(int, done.stdout.split()))

    def _build_wheel(self, *options: str) -> str:
        """Runs the wheel's builder with the Python that is to import it; its answer."""
        command = [str(self.python), "-B", str(_BUILD_WHEEL), *options]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode != 0:
            raise SetupError("without the wheel of pjsua2 nothing runs; docs/building.md has more")
        return done.stdout.strip()

    def _pip(self, name: str, *arguments: str) -> None:
        self.progress.run(name, [self.python, *_PIP, "install", *arguments])

    def _stamp(self, name: str) -> str:
        path = self.folder / ".siax" / name
        return path.read_text() if path.exists() else ""

    def _set_stamp(self, name: str, content: str) -> None:
        path = self.folder / ".siax" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
