"""Makes the repository root importable, so that tests can use the support code in tests/lab."""

import sys
from pathlib import Path

from hypothesis import settings

ROOT = str(Path(__file__).resolve().parent.parent)
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)

# A busy machine must not decide whether a test passes.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
