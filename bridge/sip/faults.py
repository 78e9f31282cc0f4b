"""What is wrong with an admitted request that PJSIP has parsed and would serve all the same.

Pure. Each check is one of RFC 3261's; RFC 4475 has a message for each.
"""

from __future__ import annotations

import re

from bridge.sip.admission import Answer, SipRequest
from bridge.sip.headers import split_list

BAD_REQUEST = 400
NOT_ACCEPTABLE = 406
BAD_EXTENSION = 420
EXTENSIONS = frozenset({"100rel", "timer", "replaces", "norefersub"})
"""What a request may require and PJSIP then deals with."""

_SINGLE = ("call-id", "content-length", "cseq", "from", "max-forwards", "to")
_SDP = frozenset({"application/sdp", "application/*", "*/*"})
_HEAD_END = re.compile(r"\r?\n\r?\n")


def fault_of(request: SipRequest) -> Answer | None:
    """The answer to a request that contradicts itself or asks for what we have not; else None.

    RFC 3261 sections 8.2.2.3, 8.2.3, 18.3, 20.1 and 20.16.
    """
    headers = request.headers
    if any(len(headers.all(name)) > 1 for name in _SINGLE):
        return Answer(BAD_REQUEST, "A Header Field Is Doubled")
    if headers.first("cseq").split()[-1:] != [request.method]:
        return Answer(BAD_REQUEST, "CSeq Names Another Method")
    if _promises_more(headers.first("content-length"), request.message):
        return Answer(BAD_REQUEST, "The Body Is Cut Off")
    required = [tag for value in headers.all("require") for tag in split_list(value)]
    if unknown := [tag for tag in required if tag.lower() not in EXTENSIONS]:
        return Answer(BAD_EXTENSION, headers=(("Unsupported", ", ".join(unknown)),))
    if request.method == "INVITE" and not _takes_sdp(headers.all("accept")):
        return Answer(NOT_ACCEPTABLE)
    return None


def _promises_more(length: str, message: str) -> bool:
    """Whether a body is shorter than its Content-Length says, as only a datagram's can be."""
    if not (length.isascii() and length.isdigit()):
        return False
    ended = _HEAD_END.search(message)
    body = message[ended.end() :] if ended else ""
    return int(length) > len(body.encode("utf-8", "surrogateescape"))


def _takes_sdp(accept: list[str]) -> bool:
    types = {part.partition(";")[0].strip().lower() for v in accept for part in split_list(v)}
    return not types or not types.isdisjoint(_SDP)
