"""The bridge as `python -m bridge` runs it, but that nothing collects what refers to itself.

    python -m tests.lab.uncollected run CONFIG

Its last line is JSON: how many objects of each class there still are.
"""

import gc
import json
import sys
from collections import Counter

from bridge.cli import main


def run() -> int:
    """Runs it; returns its exit code."""
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)  # who asks the collector by name frees nothing either
    code = main()
    gc.set_debug(0)
    gc.unfreeze()
    there = Counter(type(each).__qualname__ for each in gc.get_objects())
    print(json.dumps({"event": "uncollected", **there}), file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(run())
