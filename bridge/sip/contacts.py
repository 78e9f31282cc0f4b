"""Where a phone can be reached: what a Contact of its REGISTER says, and where that came from.

Pure text. Numbers may stand in a Contact: it goes nowhere near a log.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from bridge.sip.headers import MessageHeaders, parameters

URI_CHARACTERS_MAX = 512
SIP_PORT = 5060

_URI = re.compile(
    r"sips?:(?:(?P<user>[^@<>\"\s]*)@)?(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)"
    r"(?::(?P<port>[0-9]{1,5}))?(?P<parameters>;[^<>\"\s?]*)?(?:\?[^<>\"\s]*)?",
    re.ASCII | re.IGNORECASE,
)
_QUOTED_NAME = re.compile(r'^\s*"(?:[^"\\]|\\.)*"\s*')
_PORT_MAX = 65535


@dataclass(frozen=True, slots=True)
class Flow:
    """Where a request came from; `uses_rport` says that answers go there, too (RFC 3581)."""

    transport: str
    host: str
    port: int
    uses_rport: bool = False

    @property
    def kind(self) -> str:
        """udp, tcp or tls, whatever the IP version."""
        return self.transport.lower().removesuffix("6")


@dataclass(frozen=True, slots=True)
class ContactField:
    """One Contact of a REGISTER; `expires_s` None leaves that to the Expires field."""

    uri: str = field(repr=False)
    expires_s: int | None = None
    q: float = 1.0
    instance: str = field(default="", repr=False)


def parse_contact(text: str) -> ContactField | None:
    """Read '"Name" <sip:user@host>;expires=60' or 'sip:user@host;expires=60'; None: no such thing.

    RFC 3261 section 20.10.
    """
    before, is_bracketed, rest = _QUOTED_NAME.sub("", text, count=1).partition("<")
    if is_bracketed:
        uri, closed, tail = rest.partition(">")
    else:
        uri, closed, tail = *before.partition(";")[::2], ""
        uri, tail, closed = uri.strip(), closed, ">"
    found = parameters(tail)
    instance = found.get("+sip.instance", "")
    if not closed or len(uri) > URI_CHARACTERS_MAX or not is_plain(uri + instance):
        return None
    if not _is_reachable(uri):
        return None
    return ContactField(
        uri,
        seconds(found.get("expires", "")),
        _q(found.get("q", "")),
        instance,
    )


def _is_reachable(uri: str) -> bool:
    found = _URI.fullmatch(uri)
    return found is not None and int(found["port"] or SIP_PORT) <= _PORT_MAX


def is_plain(text: str) -> bool:
    """Whether this can be kept and sent again: a message may hold octets that are no text."""
    return text.isascii() and text.isprintable()


def seconds(text: str) -> int | None:
    """A delta-seconds value; None where there is none or what stands there is no number.

    RFC 3261 section 20.19: what is malformed counts as absent.
    """
    return int(text) if re.fullmatch(r"[0-9]{1,10}", text, re.ASCII) else None


def _q(text: str) -> float:
    return (
        float(text) if re.fullmatch(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?", text, re.ASCII) else 1.0
    )


def uses_rport(headers: MessageHeaders) -> bool:
    """Whether the sender wants answers where it sent from; RFC 3581 section 3."""
    top = headers.first("via").partition(",")[0]
    return re.search(r";\s*rport\b", top, re.IGNORECASE) is not None


def target_of(uri: str, flow: Flow) -> str:
    """The URI to reach a contact by: the Contact's own, but at the address that it came from.

    So a phone behind NAT is reached, and no phone can make us send anywhere else. The port of
    a UDP phone that does not ask for rport, and that is not behind NAT, is the Contact's.
    """
    found = _URI.fullmatch(uri)
    if found is None:
        raise ValueError("no URI of a contact")
    port = flow.port
    is_own_address = found["host"].strip("[]").lower() == flow.host.lower()
    if flow.kind == "udp" and is_own_address and not flow.uses_rport:
        port = int(found["port"] or SIP_PORT)
    return _at(uri, flow, port)


def address_of(uri: str, flow: Flow) -> str:
    """As target_of(), but for a connection that is gone: the port where the phone listens."""
    found = _URI.fullmatch(uri)
    port = int(found["port"] or SIP_PORT) if found else flow.port
    return _at(uri, flow, port) if flow.kind != "udp" else target_of(uri, flow)


def _at(uri: str, flow: Flow, port: int) -> str:
    found = _URI.fullmatch(uri)
    assert found is not None  # noqa: S101  # both callers have looked
    user = f"{found['user']}@" if found["user"] else ""
    host = f"[{flow.host}]" if ":" in flow.host else flow.host
    others = [p for p in (found["parameters"] or "").split(";")[1:] if not _is_ours(p)]
    transport = [] if flow.kind == "udp" else [f"transport={flow.kind}"]
    return ";".join([f"sip:{user}{host}:{port}", *transport, *others])


def _is_ours(parameter: str) -> bool:
    """Whether this URI parameter would lead elsewhere; RFC 3261 section 19.1.1."""
    return parameter.partition("=")[0].strip().lower() in {"transport", "maddr", "ttl", "lr", ""}
