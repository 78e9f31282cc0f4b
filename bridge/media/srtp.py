"""SRTP toward one phone: the packets of its sockets sealed and opened, RTCP's included.

Owns the cipher suites and the sessions of libsrtp. It takes the place of a call's plain sockets
when keys are agreed, so that calls in clear do not pass here. Must not know SDP or how keys are
agreed. Keys show in no repr, log or error.

Source: RFC 3711, RFC 7714.
"""

from dataclasses import dataclass, field
from enum import Enum
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from bridge.iax2.auth import Address
from bridge.media.ports import PortPair

if TYPE_CHECKING:
    from pylibsrtp import Session

_PACKET_OCTETS_MAX: Final = 1500
"""Larger ones do not fit pylibsrtp's buffer."""


class Suite(Enum):
    """The suites by their names in SDP (RFC 4568 section 6.2, RFC 7714 section 14.2), best first.

    The tag of 32 bits protects RTP alone: SRTCP has 80 bits there too (RFC 4568 section 6.2.2).
    """

    AES_GCM = "AEAD_AES_128_GCM"
    AES_CM_80 = "AES_CM_128_HMAC_SHA1_80"
    AES_CM_32 = "AES_CM_128_HMAC_SHA1_32"

    @property
    def key_octets(self) -> int:
        """Octets of master key and master salt together."""
        return 28 if self is Suite.AES_GCM else 30


_PROFILES: Final = {
    Suite.AES_GCM: "SRTP_PROFILE_AEAD_AES_128_GCM",
    Suite.AES_CM_80: "SRTP_PROFILE_AES128_CM_SHA1_80",
    Suite.AES_CM_32: "SRTP_PROFILE_AES128_CM_SHA1_32",
}
"""As libsrtp's Policy names them."""


@dataclass(frozen=True, slots=True)
class SrtpKeys:
    """What one negotiation agreed on.

    Attributes:
        suite: Of both directions.
        local: Master key and salt of what we send.
        remote: The same of what the phone sends.
    """

    suite: Suite
    local: bytes = field(repr=False)
    remote: bytes = field(repr=False)


class SrtpSockets:
    """A call's two sockets under one pair of keys; each key counts its packets from zero.

    Args:
        ports: The sockets.
        keys: The keys.
        before: Those that these take the place of. Where our key stays, its count goes on: from
            zero again, it would encrypt two packets alike, and the phone could not follow.

    Attributes:
        keys: As given.
        outbound: What encrypts, and counts.
        rejected: Packets that are not authentic, or that came before (replay).
    """

    __slots__ = (
        "_inbound",
        "_receive",
        "_receive_report",
        "_send",
        "_send_report",
        "keys",
        "outbound",
        "rejected",
    )

    def __init__(
        self, ports: PortPair, keys: SrtpKeys, before: "SrtpSockets | None" = None
    ) -> None:
        self.keys = keys
        self.rejected = 0
        self._inbound = _session(keys.suite, keys.remote, "SSRC_ANY_INBOUND")
        if before and (before.keys.suite, before.keys.local) == (keys.suite, keys.local):
            self.outbound: Session = before.outbound
        else:
            self.outbound = _session(keys.suite, keys.local, "SSRC_ANY_OUTBOUND")
        self._receive, self._send = ports.rtp.recvfrom, ports.rtp.sendto
        self._receive_report, self._send_report = ports.rtcp.recvfrom, ports.rtcp.sendto

    def receive(self, _octets: int) -> tuple[bytes, Any]:
        """Read an RTP packet, whole; nothing but its source is left of one that is not authentic.

        Raises:
            OSError: As the socket does.
        """
        packet, source = self._receive(_PACKET_OCTETS_MAX)
        try:
            return self._inbound.unprotect(packet), source
        except _libsrtp().Error:
            self.rejected += 1
            return b"", source

    def send(self, packet: bytes, destination: Address) -> int:
        """Send an RTP packet.

        Raises:
            OSError: As the socket does; or its number was sent under this key before, as that of a
                frame of the link that came twice.
        """
        try:
            sealed = self.outbound.protect(packet)
        except _libsrtp().Error as error:
            raise OSError(str(error)) from None
        return self._send(sealed, destination)

    def receive_report(self, octets: int) -> tuple[bytes, Any]:
        """Read an RTCP packet, as `receive` does."""
        packet, source = self._receive_report(min(octets, _PACKET_OCTETS_MAX))
        try:
            return self._inbound.unprotect_rtcp(packet), source
        except _libsrtp().Error:
            self.rejected += 1
            return b"", source

    def send_report(self, packet: bytes, destination: Address) -> int:
        """Send an RTCP packet, as `send` does."""
        return self._send_report(self.outbound.protect_rtcp(packet), destination)


def _session(suite: Suite, key: bytes, direction: str) -> "Session":
    policy, session = _libsrtp().Policy, _libsrtp().Session
    profile = getattr(policy, _PROFILES[suite])
    found: Session = session(
        policy(key=key, ssrc_type=getattr(policy, direction), srtp_profile=profile)
    )
    return found


def _libsrtp() -> ModuleType:
    """Return the library, loaded with the first call in SRTP: it takes 5 MB."""
    import pylibsrtp  # noqa: PLC0415

    return pylibsrtp
