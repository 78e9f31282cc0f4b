"""Compiles the relay's hot path for the Python that runs this, and prints the module's path.

Owns the module in the cache, under a key made of its sources and of that Python. Needs the
standard library, a C compiler and OpenSSL's headers.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

# cache.py lies one folder up.
sys.path.append(str(Path(__file__).resolve().parent.parent))

from cache import cache_folder

MODULE = "siax_relay"

_FOLDER = Path(__file__).resolve().parent
_OPTIONS = ("-O2", "-fPIC", "-shared", "-fvisibility=hidden", "-Wall")


def main() -> int:
    """Prints where the module is; 1, with the compiler's own words on stderr, when it fails."""
    module = module_path()
    if not module.exists():
        module.parent.mkdir(parents=True, exist_ok=True)
        status = _compile(module)
        if status != 0:
            return status
    print(module)
    return 0


def module_path() -> Path:
    """Where the module of these sources is, or will be."""
    state = hashlib.sha256(f"{sys.version} {sysconfig.get_platform()} {_OPTIONS}".encode())
    for source in sorted(_FOLDER.iterdir()):
        if source.is_file():
            state.update(source.read_bytes())
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    return cache_folder() / "relay" / state.hexdigest()[:16] / f"{MODULE}{suffix}"


def _compile(module: Path) -> int:
    """Compile beside the module's place, and move it there whole."""
    with tempfile.TemporaryDirectory(dir=module.parent) as folder:
        made = Path(folder) / module.name
        command = [
            os.environ.get("CC", "cc"),
            *_OPTIONS,
            f"-I{sysconfig.get_path('include')}",
            *map(str, sorted(_FOLDER.glob("*.c"))),
            "-o",
            str(made),
            "-lcrypto",
        ]
        status = subprocess.run(command, stdout=sys.stderr, check=False).returncode
        if status == 0:
            made.replace(module)
    return status


if __name__ == "__main__":
    sys.exit(main())
