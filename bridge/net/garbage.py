"""Garbage collection, kept out of the way of audio."""

import gc
from typing import Final

_COLLECTION_THRESHOLDS: Final = (20_000, 20, 100)


def spare_the_collector() -> None:
    """Keep cyclic garbage collection short and rare: each full one would stop all audio.

    What stands after the start stays for good, and calls leave few cycles behind.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECTION_THRESHOLDS)
