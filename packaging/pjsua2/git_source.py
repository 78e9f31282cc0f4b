"""PJSIP from upstream's git repository, at a pinned commit.

Owns the pin. Must not know of the other sources.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from progress import Progress, SetupError

URL = "https://github.com/pjsip/pjproject.git"
TAG = "2.17"
# The commit's name is the checksum of the whole tree: a moved tag is refused.
COMMIT = "5a457451fa2712ba18e12b01738e8ff3af2b26fd"

LOOKUP_TIMEOUT_S = 20
FETCH_TIMEOUT_S = 600


def fetch(scratch: Path, _progress: Progress) -> Path:
    """Fetches the pinned commit alone and makes an archive of it.

    Raises:
        SetupError: git is missing, the repository cannot be reached, or the tag is not the pin.
    """
    repository, archive = scratch / "git", scratch / "pjproject.tar"
    _git(["ls-remote", "--exit-code", URL, f"refs/tags/{TAG}"], LOOKUP_TIMEOUT_S)
    _git(["init", "--quiet", "--bare", str(repository)])
    inside = ["--git-dir", str(repository)]
    _git([*inside, "fetch", "--quiet", "--depth=1", URL, f"refs/tags/{TAG}"], FETCH_TIMEOUT_S)
    commit = _git([*inside, "rev-parse", "FETCH_HEAD^{commit}"])
    if commit != COMMIT:
        raise SetupError(f"tag {TAG} is commit {commit} and not the pinned {COMMIT}")
    _git([*inside, "archive", "--prefix=pjproject/", "--output", str(archive), commit])
    return archive


def _git(arguments: list[str], timeout_s: float = 60) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments],
            env={**os.environ, "GIT_TERMINAL_PROMPT": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=True,
        )
    except FileNotFoundError as error:
        raise SetupError("git is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise SetupError(f"no answer within {timeout_s} s") from error
    except subprocess.CalledProcessError as error:
        lines = error.stderr.strip().splitlines() or [f"git ends with {error.returncode}"]
        raise SetupError(lines[-1]) from error
    return done.stdout.strip()
