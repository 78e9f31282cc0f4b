"""What can be wrong with a configuration, said with file, line, key path and what is expected.

No text here ever holds a value of the file: it might be a secret that stands in the wrong place.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from bridge.errors import BridgeError

KeyPath = tuple[str | int, ...]


def dotted(path: KeyPath) -> str:
    """Write a key path as people do: links.hq.dialing.slots, dialplan[0].match."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.lstrip(".")


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One finding, an error or a warning; `line` counts from 1, 0 where there is none."""

    file: str
    line: int
    key: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.key}: {self.message}" if self.key else f"{place}: {self.message}"


class ConfigurationError(BridgeError):
    """The configuration cannot be used; `problems` holds all errors in the order of the file."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(set(problems)))
        super().__init__("\n".join(map(str, self.problems)))
