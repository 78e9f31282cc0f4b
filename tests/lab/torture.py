"""The 49 messages of RFC 4475, from files in that RFC's own notation.

Octets that text cannot show, and lines too long for a page, are written as section 2 of the RFC
says: <hex>, <allOneLine> and <repeat count=N>. Every line ends with CRLF on the wire.
"""

import re
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "vectors" / "rfc4475"
_ONE_LINE = re.compile(rb"<allOneLine>\n(.*?)</allOneLine>", re.DOTALL)
_REPEAT = re.compile(rb"<repeat count=(\d+)>(.*?)</repeat>", re.DOTALL)
_HEX = re.compile(rb"<hex>([0-9A-F\r\n]*)</hex>")


def names() -> list[str]:
    """What the RFC calls its messages, in alphabetical order."""
    return sorted(path.stem for path in FOLDER.glob("*.txt"))


def message(name: str) -> bytes:
    """A message as it goes over the wire."""
    return expand((FOLDER / f"{name}.txt").read_bytes())


def expand(text: bytes) -> bytes:
    """The octets that a text in the RFC's notation stands for."""
    text = _ONE_LINE.sub(lambda found: found[1].replace(b"\n", b""), text)
    text = _REPEAT.sub(lambda found: int(found[1]) * found[2], text)
    text = text.replace(b"\n", b"\r\n")
    return _HEX.sub(lambda found: bytes.fromhex(found[1].decode()), text)
