"""The header fields of a SIP message, as text; pjsua2 hands over whole messages alone.

Pure, and bounded by what a message may measure. What is found here may be secret: nothing of it
goes near a log.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

_COMPACT: Mapping[str, str] = MappingProxyType(
    {
        "b": "referred-by",
        "c": "content-type",
        "f": "from",
        "i": "call-id",
        "k": "supported",
        "l": "content-length",
        "m": "contact",
        "r": "refer-to",
        "t": "to",
        "v": "via",
        "x": "session-expires",
    }
)
_TCHAR = r"[\w.!%*+`'~-]"  # RFC 3261 section 25.1
_QUOTED = r'"(?:[^"\\]|\\.)*+"'
# Each takes time linear in its text, whatever that is: strangers choose it. So a quote that nothing
# ends takes the rest of a list along, or each quote within it would begin another search.
_PARAMETER = re.compile(rf"(?<!{_TCHAR})({_TCHAR}++)\s*+=\s*+({_QUOTED}|[^\s,;\"]+)", re.ASCII)
_PART = re.compile(rf"(?:{_QUOTED}?+|<[^<>]*+>|[^\",<])++")


class MessageHeaders:
    """The start line and the header fields of a message, by lower-case full name, in order."""

    __slots__ = ("_fields", "start_line")

    def __init__(self, message: str) -> None:
        self._fields: dict[str, list[str]] = {}
        self.start_line, *lines = message.replace("\r\n", "\n").split("\n")
        values: list[str] = []
        for line in lines:
            if not line:
                break
            if line[0] in " \t":
                if values:
                    values[-1] += f" {line.strip()}"
                continue
            name, _, value = line.partition(":")
            name = name.strip().lower()
            values = self._fields.setdefault(_COMPACT.get(name, name), [])
            values.append(value.strip())

    def all(self, name: str) -> list[str]:
        """Every field of this name as it stands."""
        return self._fields.get(name, [])

    def first(self, name: str) -> str:
        """The first one, empty where there is none."""
        return self.all(name)[0] if self.all(name) else ""

    @property
    def request_uri(self) -> str:
        """What a request asks for."""
        words = self.start_line.split(" ")
        return words[1] if len(words) > 1 else ""


def split_list(value: str) -> list[str]:
    """Take "a, <b,c>, d" apart at the commas that stand outside quotes and angle brackets.

    RFC 3261 section 7.3.1.
    """
    return [part.strip() for part in _PART.findall(value) if part.strip()]


def parameters(value: str) -> dict[str, str]:
    """The name=value pairs in a field, names in lower case, quotes taken away; the first counts."""
    found: dict[str, str] = {}
    for name, text in _PARAMETER.findall(value):
        plain = re.sub(r"\\(.)", r"\1", text[1:-1]) if text.startswith('"') else text
        found.setdefault(name.lower(), plain)
    return found
