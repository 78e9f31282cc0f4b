"""What a phone's SDP says about its media, and which addresses are believed to be the phone.

Symmetric RTP: what is true is where packets come from, since phones sit behind NAT; but a packet
from just anywhere must not take a call over. Knows no sockets and no SDP text.
"""

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from typing import Final

from bridge.iax2.auth import Address
from bridge.iax2.constants import Format
from bridge.media.srtp import SrtpKeys

PORT_MAX: Final = 65_535

_HOSTS_KEPT: Final = 256
_NOWHERE: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - nothing is bound: hold of RFC 2543


@dataclass(frozen=True, slots=True)
class RemoteMedia:
    """The phone's side of one SDP negotiation.

    Attributes:
        host, port: Where the phone's SDP wants RTP; a host that is no IP address is not used.
        signalling_host: Where its SIP came from.
        payload_type: Of the chosen codec, 0 to 127.
        format: The chosen codec.
        telephone_event: Payload type of RFC 4733 digits, None where not negotiated.
        rtcp_port: 0 for the port above `port`.
        sends, receives: The phone's direction as it described itself; on hold it does not receive.
        srtp: The keys agreed on, None in clear.
        ptime_ms, maxptime_ms: The length of packets that the phone would like, and bears; None
            where it does not say.
    """

    host: str
    port: int
    signalling_host: str
    payload_type: int
    format: Format
    telephone_event: int | None = None
    rtcp_port: int = 0
    sends: bool = True
    receives: bool = True
    srtp: SrtpKeys | None = None
    ptime_ms: int | None = None
    maxptime_ms: int | None = None


class SymmetricLatch:
    """Follows the phone's address: latched once for each negotiation, to its first valid packet.

    Attributes:
        source: The only address that is listened to; None until latched.
        destination: Where packets to the phone go; None: nowhere.
        rtcp_destination: The same for RTCP.
        compiled: For a compiled fast path: the first two as the kernel takes them.
    """

    __slots__ = (
        "_hosts",
        "_proven",
        "_receives",
        "_remote",
        "compiled",
        "destination",
        "rtcp_destination",
        "source",
    )

    def __init__(self) -> None:
        self.compiled: object = None
        self.source: Address | None = None
        self.destination: Address | None = None
        self.rtcp_destination: Address | None = None
        self._hosts: frozenset[str] = frozenset()
        self._proven: Address | None = None
        self._receives = False
        self._remote: RemoteMedia | None = None

    def negotiate(self, remote: RemoteMedia) -> None:
        """Wait for the first packet of a new negotiation.

        Nothing is sent to an SDP host that is not the source of the SIP, for else an INVITE could
        aim audio at anybody, unless packets came from there: the phone keeps hearing us through a
        re-INVITE that does not move it.
        """
        host, signalling_host = _canonical(remote.host), _canonical(remote.signalling_host)
        if self._remote is None or _address(remote) != _address(self._remote):
            self._proven = None
        self._remote = remote
        self._hosts = frozenset({host, signalling_host}) - _NOWHERE
        self._receives = remote.receives and remote.port > 0
        self.source = self.destination = self.rtcp_destination = None
        trusted = (host, remote.port) if host == signalling_host else None
        self._send_to(self._proven or trusted)

    def accept(self, source: Address) -> bool:
        """Latch to the source of a valid packet; False when it is not the phone."""
        if self.source is not None or source[0] not in self._hosts:
            return False
        self.source = self._proven = source
        self._send_to(source)
        return True

    def may_report(self, source: Address) -> bool:
        """Tell whether a report can be the phone's, from whatever port of it."""
        return self.source is not None and source[0] == self.source[0]

    def _send_to(self, destination: Address | None) -> None:
        if destination is None or self._remote is None or not self._receives:
            return
        self.destination = destination
        rtcp_port = destination[1] + 1
        if self._remote.rtcp_port and destination[1] == self._remote.port:
            rtcp_port = self._remote.rtcp_port
        if rtcp_port <= PORT_MAX:
            self.rtcp_destination = (destination[0], rtcp_port, *destination[2:])


def _address(remote: RemoteMedia) -> tuple[str, int, str]:
    return remote.host, remote.port, remote.signalling_host


@lru_cache(maxsize=_HOSTS_KEPT)
def _canonical(host: str) -> str:
    """Return an address as sockets write it, anything else as it is."""
    try:
        return str(ip_address(host.partition("%")[0]))
    except ValueError:
        return host
