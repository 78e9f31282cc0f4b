"""The values that a configuration holds: addresses, ranges, numbers, names, each with its check.

Each check says what it expects and never what it found: that might be a misplaced secret.
"""

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, PlainValidator
from pydantic_core import PydanticCustomError

from bridge.media.tones import COUNTRIES

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

IAX2_PORT: Final = 4569
SIP_PORT: Final = 5060
SIPS_PORT: Final = 5061
METRICS_PORT: Final = 9464
PORT_MAX: Final = 65535
FEW: Final = 3

_HOST_AND_PORT: Final = re.compile(
    r"(?:\[(?P<bracketed>[^\[\]]+)\]|(?P<host>[^:\[\]/@\s]+))(?::(?P<port>[0-9]{1,5}))?", re.ASCII
)
_HOST_NAME: Final = re.compile(
    r"(?=.{1,253}\.?\Z)[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
    r"(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*\.?",
    re.ASCII,
)
_TRUE: Final = frozenset({"true", "yes", "on"})
_FALSE: Final = frozenset({"false", "no", "off"})


def refusal(message: str, *below: str | int) -> PydanticCustomError:
    """An error whose text is shown to the operator as it is.

    Args:
        message: What is wrong and what to do.
        below: Keys below the place of the error, for checks that look deeper than their model; an
            empty one counts as none.
    """
    return PydanticCustomError(
        "refused", "{message}", {"message": message, "below": [key for key in below if key != ""]}
    )


def expected(what: str) -> PydanticCustomError:
    """The usual error: 'expected …'."""
    return refusal(f"expected {what}")


def path_in(folder: Path, value: object, what: str, *below: str) -> Path:
    """Where a path of the file leads: `~` is a home folder, a relative one starts at `folder`.

    Raises:
        PydanticCustomError: it is none, or nobody has that home folder; at `below`, as refusal().
    """
    if not isinstance(value, str) or not value or not value.isprintable():
        raise refusal(f"expected {what}", *below)
    try:
        return folder / Path(value).expanduser()
    except RuntimeError:
        raise refusal(f"expected {what}; '~' leads to no home folder here", *below) from None


@dataclass(frozen=True, slots=True)
class HostPort:
    """A host, by name or address, and a port; IPv6 without its brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class ListenUrl:
    """Where SIP is listened for; `transport` is udp, tcp or tls, `host` an IP address."""

    transport: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.transport}://{HostPort(self.host, self.port)}"


@dataclass(frozen=True, slots=True)
class PortRange:
    """UDP ports from `first` to `last`, both included, for pairs of RTP (even) and RTCP (odd)."""

    first: int
    last: int

    @property
    def pairs(self) -> int:
        """How many calls can have their two ports at the same time."""
        return max(0, (self.last + 1) // 2 - (self.first + 1) // 2)

    def __contains__(self, port: int) -> bool:
        return self.first <= port <= self.last

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"


def is_ip_address(host: str) -> bool:
    """Whether this is an IPv4 or IPv6 address rather than a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def split_host_port(text: str, default_port: int) -> HostPort | None:
    """Take `host`, `host:port`, `[v6]` or `[v6]:port` apart; None where it is neither."""
    found = _HOST_AND_PORT.fullmatch(text)
    if found is None:
        return None
    host, port = found["bracketed"] or found["host"], int(found["port"] or default_port)
    if not 1 <= port <= PORT_MAX:
        return None
    if found["bracketed"]:
        return HostPort(host, port) if is_ip_address(host) and ":" in host else None
    return HostPort(host, port) if _is_host(host) else None


def _is_host(host: str) -> bool:
    # A name whose last label is all digits is a mistyped IPv4 address.
    return is_ip_address(host) or bool(
        _HOST_NAME.fullmatch(host) and not host.rstrip(".").rpartition(".")[2].isdigit()
    )


def _peer(value: object) -> HostPort | Literal["dynamic"]:
    if value == "dynamic":
        return "dynamic"
    if isinstance(value, str) and (peer := split_host_port(value, IAX2_PORT)):
        return peer
    raise expected(
        f"a host or host:port (port {IAX2_PORT} if none is given), IPv6 in brackets: "
        "[2001:db8::1], or dynamic, for a peer that registers here"
    )


def _bind(value: object) -> HostPort:
    bind = split_host_port(value, IAX2_PORT) if isinstance(value, str) else None
    if bind is None or not is_ip_address(bind.host):
        raise expected("an IP address and a port to bind to, like 0.0.0.0:4569 or [::]:4569")
    return bind


def _metrics_address(value: object) -> HostPort:
    place = split_host_port(value, METRICS_PORT) if isinstance(value, str) else None
    if place is None or not is_ip_address(place.host):
        raise expected(f"an IP address and a port to listen on, like 127.0.0.1:{METRICS_PORT}")
    return place


def _listen_url(value: object) -> ListenUrl:
    transport, separator, rest = str(value).partition("://")
    place = split_host_port(rest, SIPS_PORT if transport == "tls" else SIP_PORT)
    if transport not in {"udp", "tcp", "tls"} or not separator or not place:
        raise expected("udp://, tcp:// or tls://ADDRESS:PORT, like udp://0.0.0.0:5060")
    if not is_ip_address(place.host):
        raise expected("an IP address to listen on, not a name: udp://0.0.0.0:5060")
    return ListenUrl(transport, place.host, place.port)


def _port_range(value: object) -> PortRange:
    found = re.fullmatch(r"([0-9]{1,5})\s*-\s*([0-9]{1,5})", str(value), re.ASCII)
    ports = PortRange(int(found[1]), int(found[2])) if found else PortRange(0, 0)
    if not 1 <= ports.first <= ports.last <= PORT_MAX or not ports.pairs:
        raise expected(
            f"a range of UDP ports from 1 to {PORT_MAX} that holds an even port and the next one, "
            "like 20000-29999"
        )
    return ports


def _ip_address(value: object) -> IpAddress:
    try:
        address = ipaddress.ip_address(str(value))
    except ValueError:
        raise expected("an IP address, like 192.0.2.10") from None
    if address.is_unspecified or address.is_multicast:
        raise expected("an address of this machine that phones can send to")
    return address


def _ip_network(value: object) -> IpNetwork:
    try:
        network = ipaddress.ip_network(str(value), strict=False)
    except ValueError:
        raise expected("an IP address or network, like 192.0.2.0/24 or 2001:db8::/32") from None
    address = str(value).partition("/")[0]
    if ipaddress.ip_address(address) != network.network_address:
        raise expected(f"a network without host bits: /{network.prefixlen} of the same address")
    return network


def is_true(value: object) -> bool:
    """Whether this is one of the words for true."""
    return str(value).lower() in _TRUE


def _flag(value: object) -> bool:
    if str(value).lower() not in _TRUE | _FALSE:
        raise expected("true or false")
    return is_true(value)


def whole_number(low: int, high: int) -> BeforeValidator:
    """A check for whole numbers from `low` to `high`."""

    def check(value: object) -> int:
        text = str(value)
        if re.fullmatch(r"[0-9]{1,9}", text, re.ASCII) and low <= int(text) <= high:
            return int(text)
        raise expected(f"a whole number from {low} to {high}")

    return BeforeValidator(check)


def seconds(low: float, high: float) -> BeforeValidator:
    """A check for a time in seconds from `low` to `high`, fractions allowed."""

    def check(value: object) -> float:
        try:
            return _seconds(value, low, high)
        except ValueError:
            raise expected(f"seconds from {low:g} to {high:g}") from None

    return BeforeValidator(check)


def _seconds(value: object, low: float, high: float) -> float:
    number = float(str(value))
    if not low <= number <= high:
        raise ValueError
    return number


def seconds_or_off(low: float, high: float) -> BeforeValidator:
    """A check for a time in seconds from `low` to `high`, or a word for "not at all" (None)."""

    def check(value: object) -> float | None:
        if str(value).lower() in _FALSE:
            return None
        try:
            return _seconds(value, low, high)
        except ValueError:
            raise expected(f"seconds from {low:g} to {high:g}, or off") from None

    return BeforeValidator(check)


def text_like(expression: str, what: str) -> BeforeValidator:
    """A check for text that matches `expression` as a whole."""
    pattern = re.compile(expression, re.ASCII)

    def check(value: object) -> str:
        if isinstance(value, str) and pattern.fullmatch(value):
            return value
        raise expected(what)

    return BeforeValidator(check)


def one_of(*choices: str) -> BeforeValidator:
    """A check for one of a few words; the type beside it is their Literal."""
    what = " or ".join(choices) if len(choices) <= FEW else f"one of {', '.join(choices)}"

    def check(value: object) -> str:
        if isinstance(value, str) and value in choices:
            return value
        raise expected(what)

    return BeforeValidator(check)


Peer = Annotated[HostPort | Literal["dynamic"], PlainValidator(_peer)]
Bind = Annotated[HostPort, PlainValidator(_bind)]
MetricsAddress = Annotated[HostPort, PlainValidator(_metrics_address)]
Listen = Annotated[ListenUrl, PlainValidator(_listen_url)]
Ports = Annotated[PortRange, PlainValidator(_port_range)]
Address = Annotated[IpAddress, PlainValidator(_ip_address)]
Network = Annotated[IpNetwork, PlainValidator(_ip_network)]
Flag = Annotated[bool, PlainValidator(_flag)]
Name = Annotated[
    str,
    text_like(
        r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}",
        "a name of at most 32 letters, digits, '-', '_' or '.'",
    ),
]
LinkName = Annotated[
    str,
    text_like(
        r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}",
        "a link name of at most 32 letters, digits, '-' or '_'",
    ),
]
Username = Annotated[
    str,
    text_like(
        r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,62}",
        "a user name of at most 63 letters, digits, '-', '_', '.' or '+'",
    ),
]
Realm = Annotated[
    str,
    text_like(
        r"[A-Za-z0-9_.@-]{1,64}", "a name of at most 64 letters, digits, '-', '_', '.' or '@'"
    ),
]
Extension = Annotated[
    str,
    text_like(r"[A-Za-z0-9*#_.+-]{1,79}", "one extension of the peer's dial plan, like enc"),
]
Country = Annotated[str, one_of(*COUNTRIES)]
