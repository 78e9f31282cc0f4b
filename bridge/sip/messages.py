"""The few things that are read from SIP text where pjsua2 hands over strings.

Pure text. What is found here are callers and numbers: it goes nowhere near a log.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

_USER = re.compile(r"<?\s*(?:sips?|tel):([^@>;?]*)(?:;[^@>?]*)?(@)?", re.IGNORECASE)
_Q850 = re.compile(r"Q\.850\s*;(?:[^,]*;)?\s*cause\s*=\s*(\d{1,3})", re.IGNORECASE)
_PLACE = re.compile(
    r"sips?:(?:[^@]*@)?(?:\[([0-9a-f:.]+)\]|([^:;?@\[\]]+))(?::(\d{1,5}))?(?:[;?]|$)",
    re.IGNORECASE | re.ASCII,
)
_TRANSPORT = re.compile(r";transport=(\w+)", re.IGNORECASE)
_SIP_PORT = 5060
_MAX_Q850_CAUSE = 127
_MAX_REASON_CHARACTERS = 256


def host_port(text: str) -> tuple[str, int]:
    """Split "192.0.2.1:5060" or "[2001:db8::1]:5060" as pjsip writes addresses."""
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def user_part(uri: str) -> str:
    """The user of a sip, sips or tel URI, unescaped, without parameters and password.

    `uri` may be a name-addr as in From ('"Name" <sip:user@host>'); empty when there is no user.

    RFC 3261 section 19.1.1; RFC 3966 section 3.
    """
    bare = uri[uri.rfind("<") + 1 :] if "<" in uri else uri
    found = _USER.match(bare)
    if found is None or not (found[2] or bare[:4].lower() == "tel:"):
        return ""
    return unquote(found[1].partition(":")[0])


def uri_place(uri: str) -> tuple[str, int]:
    """Where a sip URI leads, its port 5060 unless it says another; ("", 0) if it is none.

    RFC 3261 section 19.1.1.
    """
    found = _PLACE.match(uri)
    if found is None:
        return "", 0
    return (found[1] or found[2]), int(found[3] or _SIP_PORT)


def uri_transport(uri: str) -> str:
    """The transport of a sip URI, "udp" if it names none, "tls" of every sips URI.

    RFC 3261 section 19.1.1.
    """
    if uri[:5].lower() == "sips:":
        return "tls"
    found = _TRANSPORT.search(uri)
    return found[1].lower() if found else "udp"


def request_user(message: str) -> str:
    """The user part of the Request-URI of a whole request."""
    words = message.partition("\r\n")[0].split(" ", 2)
    return user_part(words[1]) if len(words) > 1 else ""


def q850_cause(message: str) -> int | None:
    """The Q.850 cause of a message's Reason header, or None.

    RFC 3326 section 2.
    """
    headers = message.partition("\r\n\r\n")[0]
    for line in headers.split("\r\n")[1:]:
        name, _, value = line.partition(":")
        if name.rstrip(" \t").lower() == "reason" and (
            found := _Q850.search(value[:_MAX_REASON_CHARACTERS])
        ):
            cause = int(found[1])
            return cause if cause <= _MAX_Q850_CAUSE else None
    return None


def sdp_body(message: str) -> str:
    """The session description in a message, also as a part of a multipart body; empty: none."""
    body = message.partition("\r\n\r\n")[2]
    if body.startswith("v="):
        return body
    _, start, rest = body.partition("\nv=")
    return "v=" + rest.partition("\n--")[0] if start else ""
