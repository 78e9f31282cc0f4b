"""What a phone's REFER asks for, and how it is told what became of it (RFC 3515, 3891, 4488).

Pure text. Whom it names may be a number: that goes near no log, error or repr.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final
from urllib.parse import unquote

from bridge.sip.admission import Answer, Headers
from bridge.sip.headers import MessageHeaders, parameters
from bridge.sip.messages import uri_place, user_part

SIPFRAG: Final = "message/sipfrag;version=2.0"

_URI_CHARACTERS_MAX: Final = 1024
_NAMED: Final = re.compile(r'\s*(?:"(?:[^"\\]|\\.)*"\s*|[^"<]*)<([^<>]+)>|\s*([^\s<>",;?]+)')
_INVITE_ONLY: Final = re.compile(r";method=(?!invite(?:;|$))", re.IGNORECASE)
_CALL_ID: Final = re.compile(r"[!-~]{1,256}")
_TAG: Final = re.compile(r"[\w.!%*+`'~-]{1,128}", re.ASCII)
_URI_USER: Final = re.compile(r"[\w.!~*'()&=+$,;?/%-]{1,64}", re.ASCII)
_HOST: Final = re.compile(r"[A-Za-z0-9.-]{1,255}|[0-9A-Fa-f:.]{2,45}", re.ASCII)
_SUBSCRIPTION_S: Final = 120
_FINAL: Final = 200
_REASONS: Final[Mapping[int, str]] = MappingProxyType(
    {
        100: "Trying",
        180: "Ringing",
        200: "OK",
        408: "Request Timeout",
        480: "Temporarily Unavailable",
        481: "Call/Transaction Does Not Exist",
        486: "Busy Here",
        487: "Request Terminated",
        488: "Not Acceptable Here",
        503: "Service Unavailable",
        603: "Decline",
    }
)


@dataclass(frozen=True, slots=True)
class Replaces:
    """The dialog that an INVITE takes the place of; its tags as the called side sees them."""

    call_id: str = field(repr=False)
    to_tag: str = field(repr=False)
    from_tag: str = field(repr=False)

    @property
    def headers(self) -> Headers:
        """What the INVITE says; who cannot do it refuses it (RFC 3891 section 5)."""
        value = f"{self.call_id};to-tag={self.to_tag};from-tag={self.from_tag}"
        return ("Replaces", value), ("Require", "replaces")


@dataclass(frozen=True, slots=True)
class Refer:
    """Whom a phone wants to give its call to.

    Attributes:
        user: The user part of the URI, unescaped.
        place: Its host and port.
        own_host: What the phone takes our host for, within this dialog.
        source_host: Where the request came from.
        replaces: The dialog whose other end gets the call; None: the transfer is blind.
        referred_by: The URI that the phone gives for itself, empty for none that can be passed on.
        subscribes: Whether the phone wants to hear what becomes of it.
        sequence: What tells its subscription from others of the dialog.
    """

    user: str = field(repr=False)
    place: tuple[str, int] = field(repr=False)
    own_host: str
    source_host: str
    replaces: Replaces | None = None
    referred_by: str = field(default="", repr=False)
    subscribes: bool = True
    sequence: str = ""


@dataclass(frozen=True, slots=True)
class ReferAnswer:
    """The final status of a REFER, and what begins once it is sent; None unless it is 202."""

    status: int
    begin: Callable[[], None] | None = None


def read_refer(message: str, source_host: str) -> Refer | Answer:
    """Read a REFER; what cannot be done is answered: 400, 403, or 416 for another URI than sip.

    RFC 3515 sections 2.1 and 2.4.2.
    """
    headers = MessageHeaders(message)
    named = headers.all("refer-to")
    uri = _uri_of(named[0]) if len(named) == 1 else ""
    if not uri:
        return Answer(400, stateful=True)
    if not uri.lower().startswith(("sip:", "sips:")):
        return Answer(416, stateful=True)
    address, _, asked = uri.partition("?")
    place = uri_place(address)
    replaces = _replaces(asked)
    if not place[0] or (replaces is None and "replaces" in asked.lower()):
        return Answer(400, stateful=True)
    if _INVITE_ONLY.search(address):
        return Answer(403, stateful=True)
    return Refer(
        user=user_part(f"<{address}>"),
        place=place,
        own_host=uri_place(_uri_of(headers.first("to")))[0],
        source_host=source_host,
        replaces=replaces,
        referred_by=_harmless(_uri_of(headers.first("referred-by"))),
        subscribes=headers.first("refer-sub").partition(";")[0].strip().lower() != "false",
        sequence=headers.first("cseq").partition(" ")[0],
    )


def _uri_of(value: str) -> str:
    """The URI of a name-addr or an addr-spec, empty where there is none."""
    found = _NAMED.match(value)
    uri = (found[1] or found[2] or "") if found else ""
    return uri.strip() if len(uri) <= _URI_CHARACTERS_MAX else ""


def _replaces(asked: str) -> Replaces | None:
    for pair in asked.split("&"):
        name, _, value = pair.partition("=")
        if name.lower() == "replaces":
            call_id, _, rest = unquote(value).partition(";")
            tags = parameters(rest)
            to_tag, from_tag = tags.get("to-tag", ""), tags.get("from-tag", "")
            if _CALL_ID.fullmatch(call_id) and _TAG.fullmatch(to_tag) and _TAG.fullmatch(from_tag):
                return Replaces(call_id, to_tag, from_tag)
    return None


def _harmless(uri: str) -> str:
    """A URI for Referred-By, of user and host alone: nothing else of it is passed on.

    RFC 3892 section 2.1.
    """
    user, at, _ = uri.partition(":")[2].partition("@")
    host, _ = uri_place(uri)
    if not at or not _URI_USER.fullmatch(user) or not _HOST.fullmatch(host):
        return ""
    return f"sip:{user}@{f'[{host}]' if ':' in host else host}"


def notice(status: int, sequence: str) -> tuple[Headers, str]:
    """The headers and the body of the NOTIFY that tells a phone how its transfer stands.

    `sequence` is empty for the first REFER of a dialog. RFC 3515 section 2.4.
    """
    ends = status >= _FINAL
    state = "terminated;reason=noresource" if ends else f"active;expires={_SUBSCRIPTION_S}"
    event = f"refer;id={sequence}" if sequence else "refer"
    headers = (("Event", event), ("Subscription-State", state))
    return headers, f"SIP/2.0 {status} {_REASONS.get(status, 'Failed')}\r\n"
