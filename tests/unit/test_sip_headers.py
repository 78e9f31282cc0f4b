"""Header fields as RFC 3261 lets them be written, and in time linear in their length."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.sip.headers import MessageHeaders, parameters, split_list

MESSAGE = (
    "REGISTER sip:example.net SIP/2.0\r\n"
    "v: SIP/2.0/UDP 192.0.2.1\r\n"
    "m: <sip:a@192.0.2.1>,\r\n"
    "  <sip:b@192.0.2.1>\r\n"
    "CONTACT : <sip:c@192.0.2.1>\r\n"
    "\r\n"
    "Contact: <sip:body@192.0.2.1>\r\n"
)


def test_compact_names_folded_lines_and_the_end_of_the_headers() -> None:
    headers = MessageHeaders(MESSAGE)
    assert headers.request_uri == "sip:example.net"
    assert headers.first("via") == "SIP/2.0/UDP 192.0.2.1"
    assert headers.all("contact") == [
        "<sip:a@192.0.2.1>, <sip:b@192.0.2.1>",
        "<sip:c@192.0.2.1>",
    ]
    assert headers.first("expires") == ""


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        ("a, b", ["a", "b"]),
        ('"x, y" <sip:a,b@c>;q=1, <d>', ['"x, y" <sip:a,b@c>;q=1', "<d>"]),
        (r'"x\", y" <a>, *', [r'"x\", y" <a>', "*"]),
        ('a, "b, c', ["a", '"b, c']),
        ("", []),
        (", ,", []),
    ],
)
def test_lists(value: str, parts: list[str]) -> None:
    assert split_list(value) == parts


def test_parameters() -> None:
    found = parameters(r'a=1;B = "x\"y" , c=<z>;a=2;d')
    assert found == {"a": "1", "b": 'x"y', "c": "<z>"}


@given(st.text(max_size=300))
def test_any_text_is_read(text: str) -> None:
    headers = MessageHeaders(text)
    split_list(headers.first("contact"))
    split_list(text)
    parameters(text)


@pytest.mark.parametrize("piece", ["<", '"', "a", " ", "a=", 'a="', "\\", 'a="\\"', ",", '"\\'])
def test_no_text_takes_more_than_linear_time(piece: str) -> None:
    text = piece * (60_000 // len(piece))
    began = time.process_time()
    split_list(text)
    parameters(text)
    assert time.process_time() - began < 1.0
