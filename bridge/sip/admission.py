"""Who may ask for what, before any call exists.

Owns the answer to every request outside a dialog, except that an admitted INVITE goes on to become
a call. Stateless, pure and cheap, since strangers reach it. It must not know pjsua2; the agent
carries requests in and answers out.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from bridge.sip.settings import Network

Headers = tuple[tuple[str, str], ...]

ALLOWED_METHODS = "INVITE, ACK, BYE, CANCEL, OPTIONS, PRACK, UPDATE, INFO"

_IN_DIALOG_ONLY = frozenset({"BYE", "CANCEL", "PRACK", "UPDATE", "INFO"})
_KNOWN = frozenset({"REGISTER", "MESSAGE", "SUBSCRIBE", "NOTIFY", "PUBLISH", "REFER"})
_REMEMBERED_SOURCES = 4096


@dataclass(frozen=True, slots=True)
class SipRequest:
    """A request outside a dialog; addresses are (host, port), `message` is the whole of it."""

    method: str
    transport: str
    source: tuple[str, int]
    local: tuple[str, int]
    message: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """A final answer to a request; status 0 means that none is sent.

    `stateful` answers are remembered for retransmissions, which costs memory for 32 s: strangers
    get stateless ones.
    """

    status: int
    reason: str = ""
    headers: Headers = ()
    stateful: bool = False


Admission = Callable[[SipRequest], Answer | None]
"""None admits the request, an Answer refuses it."""


FORBIDDEN = Answer(403)


def allow_networks(networks: Sequence[Network]) -> Admission:
    """An admission by source address alone: whoever is in none of `networks` gets 403."""

    @lru_cache(maxsize=_REMEMBERED_SOURCES)
    def is_allowed(host: str) -> bool:
        address = ipaddress.ip_address(host)
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        return any((mapped or address) in network for network in networks)

    def admit(request: SipRequest) -> Answer | None:
        return None if is_allowed(request.source[0]) else FORBIDDEN

    return admit


def answer_admitted(method: str) -> Answer | None:
    """The answer to an admitted request by its method; None for INVITE, which becomes a call.

    RFC 3261 sections 8.2.1, 11.2, 12.2.2 and 21.4.6.
    """
    if method == "INVITE":
        return None
    if method == "OPTIONS":
        capabilities = (("Accept", "application/sdp"), ("Supported", "100rel, timer"))
        return Answer(200, headers=(("Allow", ALLOWED_METHODS), *capabilities))
    if method in _IN_DIALOG_ONLY:
        return Answer(481)
    if method in _KNOWN:
        return Answer(405, headers=(("Allow", ALLOWED_METHODS),))
    return Answer(501)
