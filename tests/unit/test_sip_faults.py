"""Admitted requests that contradict themselves are refused by what RFC 3261 says of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.sip.admission import SipRequest
from bridge.sip.faults import fault_of
from tests.lab.torture import message

PLAIN = (
    "OPTIONS sip:siax@192.0.2.2 SIP/2.0\r\n"
    "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n"
    "From: <sip:a@192.0.2.1>;tag=1\r\n"
    "To: <sip:siax@192.0.2.2>\r\n"
    "Call-ID: 1@192.0.2.1\r\n"
    "CSeq: 1 OPTIONS\r\n"
    "Max-Forwards: 70\r\n"
)


def fault(text: str, method: str = "OPTIONS") -> int:
    answer = fault_of(SipRequest(method, "UDP", ("192.0.2.1", 5060), ("192.0.2.2", 5060), text))
    return answer.status if answer else 0


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ("Content-Length: 0\r\n\r\n", 0),
        ("l: 4\r\n\r\nbody", 0),
        ("l: 3\r\n\r\nbody", 0),
        ("l: 5\r\n\r\nbody", 400),
        ("l: 4\r\nContent-Length: 4\r\n\r\nbody", 400),
        ("CSeq: 2 OPTIONS\r\n\r\n", 400),
        ("To: <sip:b@192.0.2.2>\r\n\r\n", 400),
        ("Require: 100rel, Timer\r\n\r\n", 0),
        ("Require: 100rel, nothing\r\nRequire: more\r\n\r\n", 420),
        ("Accept: text/plain\r\n\r\n", 0),
    ],
)
def test_requests(more: str, status: int) -> None:
    assert fault(PLAIN + more) == status


def test_the_unknown_extensions_are_named() -> None:
    text = PLAIN + "Require: 100rel, nothing\r\nRequire: more\r\n\r\n"
    source = ("192.0.2.1", 5060)
    answer = fault_of(SipRequest("OPTIONS", "UDP", source, source, text))
    assert answer is not None
    assert answer.headers == (("Unsupported", "nothing, more"),)


@pytest.mark.parametrize(
    ("accept", "status"),
    [("", 0), ("text/plain", 406), ("text/plain, Application/SDP;level=1", 0), ("*/*", 0)],
)
def test_an_invite_whose_caller_takes_no_sdp(accept: str, status: int) -> None:
    header = f"Accept: {accept}\r\n" if accept else ""
    text = PLAIN.replace("OPTIONS", "INVITE") + header + "\r\n"
    assert fault(text, "INVITE") == status


@pytest.mark.parametrize(
    ("name", "method", "status"),
    [
        ("bext01", "OPTIONS", 420),
        ("clerr", "INVITE", 400),
        ("mcl01", "OPTIONS", 400),
        ("mismatch01", "OPTIONS", 400),
        ("multi01", "INVITE", 400),
        ("sdp01", "INVITE", 406),
        ("longreq", "INVITE", 0),
        ("wsinv", "INVITE", 0),
        ("intmeth", "!interesting-Method0123456789_*+`.%indeed'~", 0),
    ],
)
def test_messages_of_rfc_4475(name: str, method: str, status: int) -> None:
    assert fault(message(name).decode("utf-8", "surrogateescape"), method) == status


@given(st.text())
def test_garbage_never_raises(text: str) -> None:
    fault(text)
