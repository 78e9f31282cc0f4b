"""What a SIP agent is told at its start, as plain values.

Owns the reading of listen urls. It must not know pjsua2, nor the configuration file.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bridge.errors import BridgeError
from bridge.sip.sdes import Srtp

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_LISTEN_URL = re.compile(r"(udp|tcp|tls)://(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+)):(\d{1,5})", re.ASCII)
_MAX_PORT = 65535


class SipError(BridgeError):
    """The SIP side cannot do what it was told; the text names no caller and no number."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: our certificate with those of its issuers, its key, and whom clients need."""

    certificate: Path
    key: Path
    client_ca: Path | None = None


@dataclass(frozen=True, slots=True)
class TrunkSettings:
    """A SIP server that calls are placed on, and that we may register with.

    Attributes:
        name: As configured.
        user: Whom it asks for the password; its registration has the same name.
        password: Proved by digest (MD5, SHA-256), never sent.
        domain: What stands behind the '@' of its URIs.
        from_user: Who calls, in From.
        transport: "udp" or "tcp".
        registers: Whether we register, for `expires_s` seconds at a time.
        srtp: Whether audio is encrypted.
        calls_max: Calls at a time; None: no matter.
    """

    name: str
    user: str
    password: str = field(repr=False)
    domain: str
    from_user: str
    transport: str = "udp"
    registers: bool = True
    expires_s: int = 600
    srtp: Srtp = Srtp.OFF
    calls_max: int | None = None

    def uri(self, user: str) -> str:
        """The SIP URI of somebody there; `user` is escaped."""
        return f"sip:{user}@{uri_host(self.domain)}"


@dataclass(frozen=True, slots=True)
class SipSettings:
    """Settings of one SipAgent, fixed for its life.

    `listen` holds urls as "udp://0.0.0.0:5060" or "tcp://[::1]:5060"; port 0 lets the kernel
    choose. "tls://" needs `tls`. `allow` holds the networks that may call without credentials; they
    are exempt from the limits on strangers' requests. Of those in `trust_identity` it is believed
    whom they assert to call. `max_calls` bounds concurrent calls; each
    costs about 11 kB from the start. `library_log_level` is pjsip's: 1 errors, 2 warnings, 3
    information. `nameservers` are asked for names in phones' Contact headers; without any, such a
    lookup blocks the loop.
    `srtp` None means: required over TLS, where nobody can read the keys, and optional else;
    `srtp_of` holds what differs for a phone, by its user.
    `session_expires_s` is the session timer that calls to phones propose, `min_se_s` the least that
    a phone may ask for (RFC 4028); neither is less than 90.
    """

    listen: tuple[str, ...]
    allow: tuple[Network, ...] = ()
    user_agent: str = "siax"
    max_calls: int = 1000
    library_log_level: int = 2
    nameservers: tuple[str, ...] = ()
    tls: TlsFiles | None = None
    srtp: Srtp | None = None
    srtp_of: Mapping[str, Srtp] = field(default_factory=dict, repr=False)
    session_expires_s: int = 1800
    min_se_s: int = 90
    trust_identity: tuple[Network, ...] = ()
    trunks: tuple[TrunkSettings, ...] = ()

    def srtp_over(self, transport: str, user: str | None = None) -> Srtp:
        """What holds for a call whose SIP goes over a transport, like "UDP" or "TLS".

        `user` is the phone's, where it is known which one it is.
        """
        srtp = self.srtp_of.get(user or "", self.srtp)
        if srtp is not None:
            return srtp
        return Srtp.REQUIRED if transport.upper().startswith("TLS") else Srtp.OPTIONAL


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """One parsed listen url; `transport` is "udp", "tcp" or "tls"."""

    url: str
    transport: str
    host: str
    port: int

    @property
    def is_ipv6(self) -> bool:
        """Whether the host is an IPv6 address."""
        return ":" in self.host

    @property
    def is_wildcard(self) -> bool:
        """Whether it stands for every address of this machine."""
        return ipaddress.ip_address(self.host).is_unspecified


def uri_host(host: str) -> str:
    """A host as it stands in a URI: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def parse_listen_url(url: str) -> ListenAddress:
    """Read "udp://192.0.2.1:5060" or "tcp://[2001:db8::1]:5060".

    Raises:
        SipError: anything else; the text names the url.
    """
    found = _LISTEN_URL.fullmatch(url)
    if found is None or int(found[4]) > _MAX_PORT:
        raise SipError(f"{url}: expected udp://, tcp:// or tls://ADDRESS:PORT")
    kind = ipaddress.IPv6Address if found[2] else ipaddress.IPv4Address
    try:
        host = kind(found[2] or found[3])
    except ValueError:
        raise SipError(f"{url}: {found[2] or found[3]} is no IP address") from None
    return ListenAddress(url, found[1], str(host), int(found[4]))
