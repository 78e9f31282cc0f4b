"""Listen urls and admission by network."""

from ipaddress import ip_network

import pytest

from bridge.sip.admission import FORBIDDEN, Admitted, SipRequest, allow_networks, answer_admitted
from bridge.sip.settings import ListenAddress, SipError, parse_listen_url


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("udp://0.0.0.0:5060", ("udp", "0.0.0.0", 5060, False, True)),
        ("tcp://192.0.2.1:0", ("tcp", "192.0.2.1", 0, False, False)),
        ("tls://[::]:5061", ("tls", "::", 5061, True, True)),
        ("udp://[::]:5060", ("udp", "::", 5060, True, True)),
        ("tcp://[2001:DB8::0:1]:65535", ("tcp", "2001:db8::1", 65535, True, False)),
    ],
)
def test_listen_url(url: str, address: tuple[str, str, int, bool, bool]) -> None:
    read = parse_listen_url(url)
    assert read == ListenAddress(url, *address[:3])
    assert (read.is_ipv6, read.is_wildcard) == address[3:]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "0.0.0.0:5060",
        "wss://0.0.0.0:5061",
        "udp://host:5060",
        "udp://1.2.3:5060",
        "udp://::1:5",
        "udp://0.0.0.0:65536",
        "udp://0.0.0.0",
        "udp://[192.0.2.1]:5060",
        "udp://0.0.0.0:5060/x",
    ],
)
def test_listen_url_that_is_none(url: str) -> None:
    with pytest.raises(SipError, match=r"(?s)^" + url.replace("[", r"\[")):
        parse_listen_url(url)


def request_of(host: str, method: str = "INVITE", message: str = "") -> SipRequest:
    return SipRequest(method, "UDP", (host, 5060), ("192.0.2.1", 5060), message)


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("192.0.2.7", True),
        ("::ffff:192.0.2.7", True),
        ("2001:db8::7", True),
        ("198.51.100.7", False),
        ("2001:db9::7", False),
    ],
)
def test_allowed_networks(*, host: str, allowed: bool) -> None:
    admit = allow_networks([ip_network("192.0.2.0/24"), ip_network("2001:db8::/32")])
    assert admit(request_of(host)) == (Admitted() if allowed else FORBIDDEN)


def test_nobody_is_allowed_by_default() -> None:
    assert allow_networks([])(request_of("127.0.0.1")) is FORBIDDEN


@pytest.mark.parametrize(
    ("method", "status"),
    [("OPTIONS", 200), ("CANCEL", 481), ("REGISTER", 405), ("invite", 501), ("", 501)],
)
def test_answers_to_the_admitted(method: str, status: int) -> None:
    answer = answer_admitted(request_of("127.0.0.1", method), 90)
    assert answer is not None
    assert answer.status == status
    assert not answer.stateful


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("Session-Expires: 89;refresher=uac", 422),
        ("x:0", 422),
        ("Session-Expires: 90", None),
        ("Session-Expires: soon", None),
        (f"Session-Expires: {'9' * 40}", None),
        ("Subject: x", None),
    ],
)
def test_invite_becomes_a_call_unless_its_session_is_too_short(
    header: str, status: int | None
) -> None:
    message = f"INVITE sip:9@bridge SIP/2.0\r\n{header}\r\n\r\nSession-Expires: 1"
    answer = answer_admitted(request_of("127.0.0.1", "INVITE", message), 90)
    assert (answer and answer.status) == status
    assert answer is None or answer.headers == (("Min-SE", "90"),)
