import ipaddress
from typing import Annotated, Any

import pytest
from pydantic import TypeAdapter, ValidationError

from bridge.config import values
from bridge.config.values import HostPort, ListenUrl, PortRange

NO_PEERS = (
    "",
    "hq:0",
    "hq:65536",
    "hq:x",
    "2001:db8::1",
    "[192.0.2.1]",
    "[x]",
    "a b",
    "192.0.2.300",
    "-x.net",
    "x..net",
    "hq/4569",
    "user@hq",
    "a" * 64,
    7,
    None,
    ["hq"],
    "hq:4569\n",
)


def read(kind: Any, text: object) -> object:  # noqa: ANN401  an annotated type
    return TypeAdapter(kind).validate_python(text)


def complaint(kind: Any, text: object) -> str:  # noqa: ANN401
    with pytest.raises(ValidationError) as caught:
        read(kind, text)
    return caught.value.errors()[0]["msg"]


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("hq.example.net:4570", "hq.example.net", 4570),
        ("hq", "hq", 4569),
        ("hq.example.net.", "hq.example.net.", 4569),
        ("192.0.2.1", "192.0.2.1", 4569),
        ("[2001:db8::1]:4570", "2001:db8::1", 4570),
        ("[2001:db8::1]", "2001:db8::1", 4569),
    ],
)
def test_peers(text: str, host: str, port: int) -> None:
    assert read(values.Peer, text) == HostPort(host, port)


@pytest.mark.parametrize("text", NO_PEERS)
def test_what_is_no_peer(text: object) -> None:
    assert "host:port" in complaint(values.Peer, text)


def test_a_peer_may_register_here() -> None:
    assert read(values.Peer, "dynamic") == "dynamic"
    assert "or dynamic, for a peer that registers here" in complaint(values.Peer, "dynamic:x")


def test_bind_takes_addresses_only() -> None:
    assert read(values.Bind, "0.0.0.0:4569") == HostPort("0.0.0.0", 4569)
    assert read(values.Bind, "[::]") == HostPort("::", 4569)
    assert "IP address" in complaint(values.Bind, "localhost:4569")


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("udp://0.0.0.0:5060", ListenUrl("udp", "0.0.0.0", 5060)),
        ("tcp://[::]:5070", ListenUrl("tcp", "::", 5070)),
        ("udp://127.0.0.1", ListenUrl("udp", "127.0.0.1", 5060)),
        ("tls://127.0.0.1", ListenUrl("tls", "127.0.0.1", 5061)),
    ],
)
def test_listen_urls(text: str, url: ListenUrl) -> None:
    assert read(values.Listen, text) == url


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("wss://0.0.0.0:5061", "tls://ADDRESS:PORT"),
        ("0.0.0.0:5060", "tls://ADDRESS:PORT"),
        ("http://0.0.0.0", "tls://ADDRESS:PORT"),
        ("udp://", "tls://ADDRESS:PORT"),
        ("udp://phones:5060", "not a name"),
    ],
)
def test_what_cannot_be_listened_on(text: str, part: str) -> None:
    assert part in complaint(values.Listen, text)


@pytest.mark.parametrize(
    ("text", "ports", "pairs"),
    [
        ("20000-29999", PortRange(20000, 29999), 5000),
        ("20001-20004", PortRange(20001, 20004), 1),
        ("20000-20001", PortRange(20000, 20001), 1),
        ("20000 - 20004", PortRange(20000, 20004), 2),
    ],
)
def test_port_ranges_count_pairs(text: str, ports: PortRange, pairs: int) -> None:
    read_ports = read(values.Ports, text)
    assert read_ports == ports
    assert ports.pairs == pairs
    assert ports.first in ports
    assert ports.last + 1 not in ports


@pytest.mark.parametrize(
    "text", ["20000", "2-1", "0-9", "1-65536", "a-b", "20001-20002", "5000-5000", None]
)
def test_what_is_no_port_range(text: object) -> None:
    assert "20000-29999" in complaint(values.Ports, text)


def test_addresses_and_networks() -> None:
    assert read(values.Address, "192.0.2.1") == ipaddress.ip_address("192.0.2.1")
    assert read(values.Network, "192.0.2.0/24") == ipaddress.ip_network("192.0.2.0/24")
    assert read(values.Network, "::1") == ipaddress.ip_network("::1/128")
    assert "192.0.2.10" in complaint(values.Address, "hq.example.net")
    assert "phones can send to" in complaint(values.Address, "0.0.0.0")
    assert "192.0.2.0/24" in complaint(values.Network, "all")
    assert "without host bits" in complaint(values.Network, "192.0.2.1/24")


@pytest.mark.parametrize(
    ("text", "flag"), [("true", True), ("Yes", True), ("off", False), ("no", False)]
)
def test_flags(text: str, *, flag: bool) -> None:
    assert read(values.Flag, text) is flag


def test_where_metrics_are_answered() -> None:
    assert read(values.MetricsAddress, "127.0.0.1") == HostPort("127.0.0.1", 9464)
    assert read(values.MetricsAddress, "[::1]:80") == HostPort("::1", 80)
    for text in ("localhost:9464", "127.0.0.1:0", "", None, 9464):
        assert complaint(values.MetricsAddress, text) == (
            "expected an IP address and a port to listen on, like 127.0.0.1:9464"
        )


def test_flags_are_words_not_numbers() -> None:
    texts: tuple[object, ...] = ("1", "", None, "maybe", [])
    for text in texts:
        assert complaint(values.Flag, text) == "expected true or false"


def test_whole_numbers_within_their_range() -> None:
    four_to_nine = Annotated[int, values.whole_number(4, 9)]
    assert [read(four_to_nine, text) for text in ("4", "9", 5)] == [4, 9, 5]
    for text in ("3", "10", "x", "", "4.5", "-4", "٤", None, True):
        assert complaint(four_to_nine, text) == "expected a whole number from 4 to 9"


def test_seconds_within_their_range() -> None:
    some = Annotated[float, values.seconds(0.5, 60)]
    assert [read(some, text) for text in ("0.5", "60", 8)] == [0.5, 60, 8]
    for text in ("0.4", "61", "x", "", "nan", "inf", None):
        assert complaint(some, text) == "expected seconds from 0.5 to 60"


def test_a_choice_names_what_there_is() -> None:
    choice = Annotated[str, values.one_of("a", "b")]
    assert read(choice, "b") == "b"
    assert complaint(choice, "c") == "expected a or b"
    assert complaint(choice, ["a"]) == "expected a or b"


def test_values_read_as_in_the_file() -> None:
    assert str(HostPort("2001:db8::1", 4569)) == "[2001:db8::1]:4569"
    assert str(ListenUrl("udp", "::", 5060)) == "udp://[::]:5060"
    assert str(PortRange(1, 2)) == "1-2"


@pytest.mark.parametrize(
    ("text", "value"), [("5", 5), ("60", 60), ("0.5e2", 50), ("off", None), ("No", None)]
)
def test_seconds_or_off(text: str, value: float | None) -> None:
    assert read(Annotated[float | None, values.seconds_or_off(5, 100)], text) == value


@pytest.mark.parametrize("text", ["4.9", "101", "0", "on", "nan", "", None, [5]])
def test_what_is_neither_seconds_nor_off(text: object) -> None:
    kind = Annotated[float | None, values.seconds_or_off(5, 100)]
    assert complaint(kind, text) == "expected seconds from 5 to 100, or off"
