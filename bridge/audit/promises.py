"""What the configuration of a link promises, as far as a capture can show it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bridge.config import load_configuration
from bridge.dialing.envelope import IN_CALL_SLOT_S

_TOLERANCE: Final = 0.2
_MS: Final = 1000


@dataclass(frozen=True, slots=True)
class LinkPromise:
    """The shape of every call of a link."""

    extension: str
    slots: int
    slot_ms: int

    def is_dialing(self, spacing_ms: float) -> bool:
        """Tell whether frames come as the dialing does."""
        return abs(spacing_ms - self.slot_ms) <= _TOLERANCE * self.slot_ms

    def is_in_call(self, spacing_ms: float) -> bool:
        """Tell whether frames come as those after the dialing do."""
        return abs(spacing_ms - IN_CALL_SLOT_S * _MS) <= _TOLERANCE * IN_CALL_SLOT_S * _MS


def read_promises(path: Path) -> Mapping[str, LinkPromise]:
    """Return the promises of a configuration's links, by the user name that NEW shows.

    Raises:
        ConfigurationError: The configuration cannot be used.
    """
    links = load_configuration(path).configuration.links.values()
    return {
        str(link.username): LinkPromise(
            str(link.extension), link.envelope.slots, link.envelope.slot_ms
        )
        for link in links
    }
