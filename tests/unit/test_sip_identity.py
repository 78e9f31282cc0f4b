"""Who calls: what is believed of an INVITE, and what is shown to a phone."""

import pytest

from bridge.sip.headers import MessageHeaders
from bridge.sip.identity import caller_of, presented
from bridge.sip.messages import user_part

FROM = 'From: "Alice" <sip:201@192.0.2.10>;tag=x'
ASSERTED = 'P-Asserted-Identity: "Alice" <sip:+4930123@pbx.example;user=phone>'


def caller(*fields: str, user: str = "", is_trusted: bool = False) -> str:
    lines = ("INVITE sip:x SIP/2.0", *(fields if fields[0][0] in "Ff" else (FROM, *fields)))
    return caller_of(MessageHeaders("\r\n".join((*lines, "", ""))), user, is_trusted=is_trusted)


class TestBelieved:
    def test_an_assertion_of_who_is_trusted(self) -> None:
        assert caller(ASSERTED, is_trusted=True) == "+4930123"
        assert caller(ASSERTED, user="301", is_trusted=True) == "+4930123"

    def test_no_assertion_of_anybody_else(self) -> None:
        assert caller(ASSERTED) == "201"
        assert caller(ASSERTED, user="301") == "301"

    @pytest.mark.parametrize(
        ("asserted", "number"),
        [
            ("<sip:alice@pbx.example>, <tel:+49-30-123;phone-context=x>", "+49-30-123"),
            ("<sip:alice@pbx.example>\r\nP-Asserted-Identity: tel:112", "112"),
            ("<sip:alice@pbx.example>", "201"),
            ("", "201"),
            ("nonsense", "201"),
        ],
    )
    def test_of_several_the_first_number(self, asserted: str, number: str) -> None:
        assert caller(f"P-Asserted-Identity: {asserted}", is_trusted=True) == number

    @pytest.mark.parametrize(("user", "believed"), [("301", "301"), ("alice", "201"), ("", "201")])
    def test_a_phone_that_has_proved_itself(self, user: str, believed: str) -> None:
        assert caller(FROM, user=user) == believed


@pytest.mark.parametrize("is_trusted", [False, True])
@pytest.mark.parametrize(
    "fields",
    [
        ("Privacy: id",),
        ("Privacy: header;ID; critical",),
        ("Privacy: none", "Privacy: user"),
        ('From: "Anonymous" <sip:anonymous@anonymous.invalid>;tag=x',),
        ("From: Anonymous <sip:Anonymous@192.0.2.10>;tag=x",),
        ("f: <sip:1234@anonymous.invalid>;tag=x",),
        ("From: <sip:c8oqz84zk7z@privacy.anonymous.invalid>",),
    ],
)
def test_who_wants_privacy_is_nobody(fields: tuple[str, ...], is_trusted: bool) -> None:  # noqa: FBT001
    assert caller(*fields[:1], *fields[1:], ASSERTED, user="301", is_trusted=is_trusted) == ""


@pytest.mark.parametrize("wish", ["none", "session", "critical", ""])
def test_other_wishes_do_not_concern_the_caller(wish: str) -> None:
    assert caller(f"Privacy: {wish}") == "201"


class TestPresented:
    @pytest.mark.parametrize("is_trusted", [False, True])
    def test_the_line_where_no_caller_is_told(self, is_trusted: bool) -> None:  # noqa: FBT001
        assert presented(None, "hq", "192.0.2.1", is_trusted=is_trusted) == ("sip:hq@192.0.2.1", ())

    def test_a_caller(self) -> None:
        uri, headers = presented("4930123", "hq", "[2001:db8::1]", is_trusted=False)
        assert (uri, headers) == ("sip:4930123@[2001:db8::1]", ())
        uri, headers = presented("4930123", "hq", "192.0.2.1", is_trusted=True)
        assert headers == (("P-Asserted-Identity", "<sip:4930123@192.0.2.1>"),)

    def test_one_that_is_withheld(self) -> None:
        uri, headers = presented("", "hq", "192.0.2.1", is_trusted=False)
        assert user_part(uri) == "anonymous"
        assert headers == ()
        assert presented("", "hq", "192.0.2.1", is_trusted=True)[1] == (("Privacy", "id"),)
