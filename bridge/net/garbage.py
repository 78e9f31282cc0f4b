"""Garbage collection, kept out of the way of audio.

Python looks at young objects when there are so many more of them than have died since. Where as
many calls end as begin there never are, and all that is alive of the last ten seconds comes to be
young: to look at that took up to 40 ms. So it is calls that are counted, too.
"""

import gc
from typing import Final

CALLS_A_LOOK: Final = 16
"""Whose objects are in the cache yet, and few."""
CALLS_A_FULL_LOOK: Final = 20_000
"""At all that has come since the start, which takes some 40 ms where 400 calls come in a second."""
_COLLECTION_THRESHOLDS: Final = (2_000, 500, 100)
"""Where no calls come: so many more young objects, looks at these, and looks at what they left."""


class CallGarbage:
    """Keeps cyclic garbage collection short: each long one would stop all audio.

    Calls leave no cycles behind; it is for what an error leaves.
    """

    def __init__(self) -> None:
        self._calls = 0

    def spare_what_stands(self) -> None:
        """Look at what there is for the last time; it stays for good."""
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_COLLECTION_THRESHOLDS)

    def call_begins(self) -> None:
        """Count a call, and look at what is young, or at all, where it is time."""
        self._calls += 1
        if self._calls % CALLS_A_FULL_LOOK == 0:
            gc.collect()
        elif self._calls % CALLS_A_LOOK == 0:
            gc.collect(0)
