"""The bridge with its envelope tampered with: the controls that show what a classifier can see.

python -m tests.leak.switched_bridge off|random-terminator run CONFIG …

A switch of the tests: the product has none.
"""

import sys
from collections.abc import Callable, Mapping
from random import SystemRandom
from types import MappingProxyType
from typing import Final
from unittest.mock import patch

from bridge.cli import main
from bridge.dialing.envelope import Envelope

_random = SystemRandom()


def unpadded(envelope: Envelope, digits: str) -> list[str | None]:
    """The digits and the terminator behind them, nothing more: as without an envelope."""
    return [*digits, envelope.terminator]


def random_terminator(envelope: Envelope, digits: str) -> list[str | None]:
    """All slots, but the terminator anywhere behind the digits."""
    padding: list[str | None] = [None] * (envelope.digits_max - len(digits))
    padding.insert(_random.randint(0, len(padding)), envelope.terminator)
    return [*digits, *padding]


SCHEDULES: Final[Mapping[str, Callable[[Envelope, str], list[str | None]]]] = MappingProxyType(
    {"off": unpadded, "random-terminator": random_terminator}
)


if __name__ == "__main__":
    with patch.object(Envelope, "schedule", SCHEDULES[sys.argv.pop(1)]):
        raise SystemExit(main())
