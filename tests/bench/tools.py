"""Compiles the C programs of the bench into the cache, once for each state of their sources."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.lab import LabError
from tests.lab.asterisk_fetch import cache_folder

_HERE = Path(__file__).resolve().parent
_FLAGS = ("-std=gnu11", "-O2", "-Wall", "-Wextra")
_PROGRAMS = {
    "load": (("load.c", "load_sip.c", "load_media.c", "load_report.c"), ()),
    "far_end": (("far_end.c",), ("-lcrypto",)),
    "count": (("count.c",), ()),
}


@dataclass(frozen=True, slots=True)
class Tools:
    """Paths of the compiled programs."""

    load: Path
    far_end: Path
    count: Path


def build_tools() -> Tools:
    """Returns the programs, compiled now where no earlier run has left them.

    Raises:
        LabError: No C compiler, or no OpenSSL headers; the text says what to install.
    """
    folder = cache_folder() / "bench" / _fingerprint()
    if not folder.exists():
        _build(folder)
    return Tools(folder / "load", folder / "far_end", folder / "count")


def _fingerprint() -> str:
    digest = hashlib.sha256(" ".join(_FLAGS).encode())
    for path in sorted([*_HERE.glob("*.c"), *_HERE.glob("*.h")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _build(folder: Path) -> None:
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        raise LabError("the bench needs a C compiler: apt install build-essential")
    folder.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".building-"))
    try:
        for name, (sources, libraries) in _PROGRAMS.items():
            paths = [str(_HERE / source) for source in sources]
            _compile([compiler, *_FLAGS, "-o", str(building / name), *paths, *libraries])
        if not folder.exists():  # another run may have been faster
            building.rename(folder)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _compile(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return
    if "openssl/" in done.stderr:
        raise LabError("the bench needs OpenSSL's headers: apt install libssl-dev")
    raise LabError(f"the bench's C programs do not compile:\n{done.stderr}")
