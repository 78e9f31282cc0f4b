"""`python -m bridge` is `siax`."""

import sys

from bridge.cli import main

sys.exit(main())
