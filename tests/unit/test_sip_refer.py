"""REFER: whom it names, in which ways it is refused, and what NOTIFY says of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.sip.admission import Answer
from bridge.sip.refer import Refer, Replaces, notice, read_refer

HOST = "192.0.2.10"


def message(*fields: str) -> str:
    fixed = ("To: <sip:hq@192.0.2.1>;tag=ours", "CSeq: 7 REFER")
    return "\r\n".join(("REFER sip:x SIP/2.0", *fixed, *fields, "", ""))


def read(*fields: str) -> Refer:
    refer = read_refer(message(*fields), HOST)
    assert isinstance(refer, Refer)
    return refer


@pytest.mark.parametrize(
    ("refer_to", "user", "place"),
    [
        ("<sip:201@192.0.2.1>", "201", ("192.0.2.1", 5060)),
        ("sip:201@192.0.2.1:5070", "201", ("192.0.2.1", 5070)),
        ('"The desk" <sips:front%20desk@bridge.example;transport=tls>;x=y', "front desk",
         ("bridge.example", 5060)),
        ("<sip:201@[2001:db8::1]:5061;user=phone>", "201", ("2001:db8::1", 5061)),
        ("<sip:192.0.2.1>", "", ("192.0.2.1", 5060)),
        ("<sip:201@192.0.2.1;method=INVITE>", "201", ("192.0.2.1", 5060)),
    ],
)  # fmt: skip
def test_a_phone_that_is_named(refer_to: str, user: str, place: tuple[str, int]) -> None:
    refer = read(f"Refer-To: {refer_to}")
    assert (refer.user, refer.place, refer.replaces) == (user, place, None)
    assert (refer.own_host, refer.source_host) == ("192.0.2.1", HOST)
    assert refer.subscribes
    assert refer.sequence == "7"
    assert user not in repr(refer) or not user


def test_the_compact_form() -> None:
    assert read("r: <sip:201@192.0.2.1>", "b: <sip:me@192.0.2.1>").referred_by == "sip:me@192.0.2.1"


def test_a_dialog_that_is_replaced() -> None:
    replaces = "a%40b%3Bto-tag%3Done%3Bfrom-tag%3Dtwo%3Bearly-only"
    refer = read(f"Refer-To: <sip:201@192.0.2.1?Replaces={replaces}&Require=replaces>")
    assert refer.replaces == Replaces("a@b", "one", "two")
    assert refer.replaces.headers == (
        ("Replaces", "a@b;to-tag=one;from-tag=two"),
        ("Require", "replaces"),
    )
    assert "a@b" not in repr(refer)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ((), 400),
        (("Refer-To: <sip:1@h>", "Refer-To: <sip:2@h>"), 400),
        (("Refer-To: <>",), 400),
        (("Refer-To: nonsense",), 416),
        (("Refer-To: <tel:+4930123>",), 416),
        (("Refer-To: <https://example.org/>",), 416),
        (("Refer-To: <sip:>",), 400),
        (("Refer-To: <sip:1@h;method=BYE>",), 403),
        (("Refer-To: <sip:1@h;method=INVITED;x>",), 403),
        (("Refer-To: <sip:1@h?Replaces=abc>",), 400),
        (("Refer-To: <sip:1@h?Replaces=abc%3Bto-tag%3D1>",), 400),
        (("Refer-To: <sip:1@h?Replaces=a%0D%0Ab%3Bto-tag%3D1%3Bfrom-tag%3D2>",), 400),
        (("Refer-To: <sip:1@h?Replaces=a%3Bto-tag%3D%22x y%22%3Bfrom-tag%3D2>",), 400),
        ((f"Refer-To: <sip:{'1' * 1100}@h>",), 400),
    ],
)
def test_what_cannot_be_done(fields: tuple[str, ...], status: int) -> None:
    answer = read_refer(message(*fields), HOST)
    assert isinstance(answer, Answer)
    assert (answer.status, answer.stateful) == (status, True)


@pytest.mark.parametrize(
    ("value", "passed_on"),
    [
        ("<sip:201@192.0.2.1>", "sip:201@192.0.2.1"),
        ('"Me" <sip:201@[2001:db8::1]:5060;transport=tls?x=y>;cid="a@b"', "sip:201@[2001:db8::1]"),
        ("sips:201@bridge.example", "sip:201@bridge.example"),
        ("<sip:bridge.example>", ""),
        ("<tel:+4930123>", ""),
        ('<sip:a"b@h>', ""),
        ("", ""),
    ],
)
def test_what_is_passed_on_of_who_refers(value: str, passed_on: str) -> None:
    refer = read("Refer-To: <sip:201@192.0.2.1>", f"Referred-By: {value}")
    assert refer.referred_by == passed_on


@pytest.mark.parametrize(
    ("value", "subscribes"), [("false", False), ("False;x", False), ("true", True), ("", True)]
)
def test_a_phone_that_wants_no_notices(value: str, subscribes: bool) -> None:  # noqa: FBT001
    refer = read("Refer-To: <sip:201@192.0.2.1>", f"Refer-Sub: {value}")
    assert refer.subscribes is subscribes


@given(st.text(max_size=300))
def test_garbage_is_answered(text: str) -> None:
    answer = read_refer(message(f"Refer-To: {text}"), HOST)
    assert isinstance(answer, Refer) or answer.status in (400, 403, 416)


@pytest.mark.parametrize(
    ("status", "state", "body"),
    [
        (100, "active;expires=120", "SIP/2.0 100 Trying\r\n"),
        (200, "terminated;reason=noresource", "SIP/2.0 200 OK\r\n"),
        (421, "terminated;reason=noresource", "SIP/2.0 421 Failed\r\n"),
    ],
)
def test_notices(status: int, state: str, body: str) -> None:
    headers, text = notice(status, "")
    assert dict(headers) == {"Event": "refer", "Subscription-State": state}
    assert text == body
    assert dict(notice(status, "9")[0])["Event"] == "refer;id=9"
