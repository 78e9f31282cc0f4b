"""Garbage collection, kept out of the way of audio."""

import gc
from typing import Final

_COLLECTION_THRESHOLDS: Final = (2_000, 200, 100)
"""Of the young often, while they are in the cache: ten times as many take ten times as long."""


def spare_the_collector() -> None:
    """Keep cyclic garbage collection short and rare: each full one would stop all audio.

    What stands after the start stays for good, and calls leave no cycles behind.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECTION_THRESHOLDS)
