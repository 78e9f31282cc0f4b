"""Who may ask for what, before any call exists.

Owns the answer to every request outside a dialog, except that an admitted INVITE goes on to become
a call. Stateless, pure and cheap, since strangers reach it. It must not know pjsua2; the agent
carries requests in and answers out.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

from bridge.sip.headers import MessageHeaders
from bridge.sip.settings import Network

Headers = tuple[tuple[str, str], ...]

ALLOWED_METHODS = "INVITE, ACK, BYE, CANCEL, OPTIONS, PRACK, UPDATE, INFO, REFER"

CAPABILITIES: Headers = (
    ("Allow", ALLOWED_METHODS),
    ("Accept", "application/sdp, application/dtmf-relay, application/dtmf"),
    ("Supported", "100rel, timer"),
)

_IN_DIALOG_ONLY = frozenset({"BYE", "CANCEL", "PRACK", "UPDATE", "INFO", "REFER"})
_KNOWN = frozenset({"REGISTER", "MESSAGE", "SUBSCRIBE", "NOTIFY", "PUBLISH"})
_REMEMBERED_SOURCES = 4096
_DELTA_SECONDS = re.compile("[0-9]{1,10}", re.ASCII)


@dataclass(frozen=True)
class SipRequest:
    """A request outside a dialog; addresses are (host, port), `message` is the whole of it."""

    method: str
    transport: str
    source: tuple[str, int]
    local: tuple[str, int]
    message: str = field(repr=False)

    @cached_property
    def headers(self) -> MessageHeaders:
        """Its header fields, read when first asked for, and once."""
        return MessageHeaders(self.message)


@dataclass(frozen=True, slots=True)
class Answer:
    """A final answer to a request; status 0 means that none is sent.

    `stateful` answers are remembered for retransmissions, which costs memory for 32 s: strangers
    get stateless ones. A stateless one may wait for `delay_ms`.
    """

    status: int
    reason: str = ""
    headers: Headers = ()
    stateful: bool = False
    delay_ms: int = 0


@dataclass(frozen=True, slots=True)
class Admitted:
    """The request may go on; `user` is the phone that has proved itself, empty for none."""

    user: str = ""


Admission = Callable[[SipRequest], Admitted | Answer]
"""An Answer ends the request."""


FORBIDDEN = Answer(403)


def in_networks(networks: Sequence[Network]) -> Callable[[str], bool]:
    """Tell of an address, in numbers, whether it is in one of the networks."""

    @lru_cache(maxsize=_REMEMBERED_SOURCES)
    def is_in(host: str) -> bool:
        address = ipaddress.ip_address(host)
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        return any((mapped or address) in network for network in networks)

    return is_in


def allow_networks(networks: Sequence[Network]) -> Admission:
    """An admission by source address alone: whoever is in none of `networks` gets 403."""
    is_allowed = in_networks(networks)

    def admit(request: SipRequest) -> Admitted | Answer:
        return Admitted() if is_allowed(request.source[0]) else FORBIDDEN

    return admit


def answer_admitted(request: SipRequest, min_se_s: int) -> Answer | None:
    """The answer to an admitted request; None for an INVITE that becomes a call.

    One whose session timer is below `min_se_s` gets 422, which PJSIP would send behind the call's
    beginning.

    RFC 3261 sections 8.2.1, 11.2, 12.2.2 and 21.4.6; RFC 4028 section 9.
    """
    method = request.method
    if method == "INVITE":
        expires = request.headers.first("session-expires")
        found = _DELTA_SECONDS.match(expires)
        too_small = found is not None and int(found[0]) < min_se_s
        return Answer(422, headers=(("Min-SE", str(min_se_s)),)) if too_small else None
    if method == "OPTIONS":
        return Answer(200, headers=CAPABILITIES)
    if method in _IN_DIALOG_ONLY:
        return Answer(481)
    if method in _KNOWN:
        return Answer(405, headers=(("Allow", ALLOWED_METHODS),))
    return Answer(501)
