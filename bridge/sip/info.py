"""Digits that a phone sends by INFO within its call. Pure text; a digit goes near no log.

Neither form has an RFC: application/dtmf-relay is Cisco's, application/dtmf is older, and RFC 6086
names both as the legacy use of INFO. Asterisk's chan_sip reads them likewise.
"""

from __future__ import annotations

import re
from typing import Final

from bridge.sip.admission import CAPABILITIES, Answer
from bridge.sip.headers import MessageHeaders

_SIGNAL: Final = re.compile(
    r"^[ \t]*Signal[ \t]*=[ \t]*(\S{1,2})[ \t]*\r?$", re.ASCII | re.IGNORECASE | re.MULTILINE
)
_PLAIN: Final = re.compile(r"\s*(\S{1,2})\s*", re.ASCII)
_EVENTS: Final = "0123456789*#ABCD"  # by their number in RFC 4733 section 3.2

_UNSUPPORTED: Final = Answer(415, headers=CAPABILITIES, stateful=True)
_MALFORMED: Final = Answer(400, stateful=True)
DONE: Final = Answer(200, stateful=True)


def read_info(message: str) -> tuple[Answer, str]:
    """The answer to an INFO and the digit in it, empty where there is none."""
    body = message.partition("\r\n\r\n")[2]
    kind = MessageHeaders(message).first("content-type").partition(";")[0].strip().lower()
    match kind:
        case "application/dtmf-relay":
            found = _SIGNAL.search(body)
        case "application/dtmf":
            found = _SIGNAL.search(body) or _PLAIN.fullmatch(body)
        case _:
            return (_UNSUPPORTED if body else DONE), ""
    digit = _digit(found[1]) if found else ""
    return (DONE if digit else _MALFORMED), digit


def _digit(text: str) -> str:
    """One of 0-9 * # A-D, also by the number of its event: 10 is the star; empty: none."""
    if text.isdecimal():
        return _EVENTS[int(text)] if int(text) < len(_EVENTS) else ""
    return text.upper() if text.upper() in set(_EVENTS) else ""
