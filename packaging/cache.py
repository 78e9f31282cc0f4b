"""The folder outside the tree that outlives a clone: wheels, sources and logs.

Owns its place alone.
"""

from __future__ import annotations

import os
from pathlib import Path

CACHE_VARIABLE = "SIAX_CACHE"


def cache_folder() -> Path:
    """`SIAX_CACHE`, else the folder siax in the user's cache folder."""
    if named := os.environ.get(CACHE_VARIABLE):
        return Path(named).resolve()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "siax"
