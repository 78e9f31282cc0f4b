"""What is read of SIP text, and that strangers' text never raises."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.sip.messages import (
    host_port,
    q850_cause,
    request_user,
    sdp_body,
    uri_place,
    uri_transport,
    user_part,
)


@pytest.mark.parametrize(
    ("text", "address"),
    [("192.0.2.1:5060", ("192.0.2.1", 5060)), ("[2001:db8::1]:5061", ("2001:db8::1", 5061))],
)
def test_host_port(text: str, address: tuple[str, int]) -> None:
    assert host_port(text) == address


@pytest.mark.parametrize(
    ("uri", "user"),
    [
        ("sip:9123@bridge", "9123"),
        ("SIPS:9123@bridge", "9123"),
        ("sip:9%31%2a%23@bridge", "91*#"),
        ("sip:9123;phone-context=+1@bridge;user=phone", "9123"),
        ("sip:9123:password@bridge", "9123"),
        ("tel:+49-30-1;ext=5", "+49-30-1"),
        ('"A <b> @ c" <sip:9123@bridge>;tag=1', "9123"),
        ("<sip:9123@bridge>", "9123"),
        ("sip:bridge", ""),
        ("sip:bridge;transport=tcp", ""),
        ("mailto:9123@bridge", ""),
        ("", ""),
    ],
)
def test_user_part(uri: str, user: str) -> None:
    assert user_part(uri) == user


def test_request_user() -> None:
    assert request_user("INVITE sip:9123@bridge SIP/2.0\r\nTo: <sip:8@x>\r\n\r\n") == "9123"
    assert request_user("") == ""


@pytest.mark.parametrize(
    ("header", "cause"),
    [
        ("Reason: Q.850;cause=16", 16),
        ('reason : q.850 ; text="a;b" ; cause = 17', 17),
        ("Reason: SIP;cause=487, Q.850;cause=31", 31),
        ("Reason: SIP;cause=487\r\nReason: Q.850;cause=31", 31),
        ("Reason: SIP;cause=16", None),
        ("Reason: Q.850;text=x, SIP;cause=16", None),
        ("Reason: Q.850;cause=999", None),
        ("X-Reason: Q.850;cause=16", None),
    ],
)
def test_q850_cause(header: str, cause: int | None) -> None:
    assert q850_cause(f"BYE sip:x SIP/2.0\r\n{header}\r\n\r\nReason: Q.850;cause=1") == cause


def test_sdp_body() -> None:
    assert sdp_body("INVITE x SIP/2.0\r\nA: b\r\n\r\nv=0\r\ns=-\r\n") == "v=0\r\ns=-\r\n"
    parts = "--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b\r\n\r\nv=0\r\ns=-\r\n--b--\r\n"
    assert sdp_body("INVITE x SIP/2.0\r\n\r\n" + parts) == "v=0\r\ns=-\r"
    assert sdp_body("INVITE x SIP/2.0\r\n\r\n") == ""


@given(st.text(st.characters() | st.sampled_from("<>@:;%\r\n =,")))
def test_any_text(text: str) -> None:
    user_part(text)
    request_user(text)
    sdp_body(text)
    q850_cause(text)
    cause = q850_cause(f"BYE x SIP/2.0\r\nReason: Q.850;{text}\r\n\r\n")
    assert cause is None or 0 <= cause <= 127


@pytest.mark.parametrize(
    ("uri", "place"),
    [
        ("sip:201@192.0.2.30", ("192.0.2.30", 5060)),
        ("sip:201@192.0.2.30:5070;transport=tcp", ("192.0.2.30", 5070)),
        ("sips:a%40b@[2001:db8::1]:5061?x=y", ("2001:db8::1", 5061)),
        ("SIP:192.0.2.30", ("192.0.2.30", 5060)),
        ("tel:201", ("", 0)),
        ("sip:201@", ("", 0)),
        ("sip:201@[2001:db8::1", ("", 0)),
        ("", ("", 0)),
    ],
)
def test_where_a_uri_leads(uri: str, place: tuple[str, int]) -> None:
    assert uri_place(uri) == place


@pytest.mark.parametrize(
    ("uri", "transport"),
    [
        ("sip:201@192.0.2.30", "udp"),
        ("sip:201@192.0.2.30:5070;transport=TCP", "tcp"),
        ("sips:201@192.0.2.30;transport=tcp", "tls"),
    ],
)
def test_the_transport_of_a_uri(uri: str, transport: str) -> None:
    assert uri_transport(uri) == transport
