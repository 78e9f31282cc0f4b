"""The door: who is let in, who learns what, and what a failed attempt costs."""

import hashlib
import itertools
from ipaddress import ip_network

import pytest
from structlog.testing import capture_logs

from bridge.sip.admission import Admitted, Answer, SipRequest, allow_networks
from bridge.sip.digest import Algorithm, DigestServer, ha1
from bridge.sip.phone_admission import PhoneAdmission
from bridge.sip.registrar import Registrar, RegistrarSettings
from tests.lab.digest_client import authorization

STRANGER, FRIEND = "203.0.113.9", "192.0.2.7"
URI = "sip:9555@198.51.100.1"
PASSWORD = "correct horse battery"


class Desk:
    """The door with its parts and a clock."""

    def __init__(self) -> None:
        self.now = 1000.0
        numbers = itertools.count()
        digest = DigestServer(
            "siax",
            tuple(Algorithm),
            {(a, "alice"): ha1(a, "alice", "siax", PASSWORD) for a in Algorithm},
            lambda octets: hashlib.shake_128(str(next(numbers)).encode()).digest(octets),
        )
        self.registrar = Registrar(["alice"], RegistrarSettings(), lambda: self.now)
        allowed = allow_networks([ip_network("192.0.2.0/24")])
        self.door = PhoneAdmission(allowed, digest, self.registrar, lambda: self.now)

    def ask(
        self, method: str = "INVITE", source: str = STRANGER, **headers: str
    ) -> Admitted | Answer:
        lines = [f"{method} {URI} SIP/2.0", "To: <sip:alice@x>", "Call-ID: 1"]
        headers = {"CSeq": f"1 {method}"} | headers
        lines += [f"{name}: {value}" for name, value in headers.items()]
        message = "\r\n".join([*lines, "", ""])
        return self.door(SipRequest(method, "UDP", (source, 5060), ("", 0), message))

    def challenged(self, method: str = "INVITE", source: str = STRANGER) -> str:
        answer = self.ask(method, source)
        assert isinstance(answer, Answer)
        assert (answer.status, answer.stateful, answer.delay_ms) == (401, False, 0)
        return dict(answer.headers[:1])["WWW-Authenticate"]

    def proving(
        self,
        method: str = "INVITE",
        source: str = STRANGER,
        user: str = "alice",
        password: str = PASSWORD,
        **headers: str,
    ) -> Admitted | Answer:
        proof = authorization(self.challenged(method, source), user, password, method, URI)
        return self.ask(method, source, Authorization=proof, **headers)


def test_a_stranger_who_knows_the_password_may_call_and_is_known() -> None:
    assert Desk().proving() == Admitted("alice")


def test_allowed_networks_call_without_and_register_with_a_password() -> None:
    desk = Desk()
    assert desk.ask(source=FRIEND) == Admitted()
    assert desk.challenged("REGISTER", FRIEND)
    answer = desk.proving("REGISTER", FRIEND, Contact="<sip:alice@192.0.2.7>")
    assert isinstance(answer, Answer)
    assert answer.status == 200


def test_a_register_that_contradicts_itself_changes_nothing() -> None:
    desk = Desk()
    answer = desk.proving("REGISTER", Contact="<sip:alice@h>", CSeq="1 INVITE")
    assert isinstance(answer, Answer)
    assert answer.status == 400
    assert len(desk.registrar) == 0


def test_an_allowed_phone_that_says_who_it_is_has_to_prove_it() -> None:
    desk = Desk()
    proof = desk.challenged(source=STRANGER)
    right = authorization(proof, "alice", PASSWORD, "INVITE", URI)
    answer = desk.ask(source=FRIEND, Authorization=right)
    assert isinstance(answer, Answer)
    assert "stale=true" in answer.headers[0][1]  # a nonce of another source


def test_what_an_allowed_proxy_passes_on_for_another_realm_proves_nothing_here() -> None:
    other = 'Digest username="a", realm="elsewhere", nonce="x", uri="sip:x", response="0"'
    assert Desk().ask(source=FRIEND, Authorization=other) == Admitted()
    refused = Desk().ask(source=STRANGER, Authorization=other)
    assert isinstance(refused, Answer)
    assert refused.status == 401


def test_other_requests_are_for_allowed_and_registered_sources() -> None:
    desk = Desk()
    refused = desk.ask("OPTIONS")
    assert isinstance(refused, Answer)
    assert refused.status == 403
    desk.proving("REGISTER", Contact="<sip:alice@h>")
    assert desk.ask("OPTIONS") == Admitted()
    assert desk.ask("OPTIONS", source=FRIEND) == Admitted()


@pytest.mark.parametrize("method", ["INVITE", "REGISTER"])
def test_who_exists_does_not_show(method: str) -> None:
    shapes = set()
    for user in ("alice", "zelda", ""):
        answer = Desk().proving(method, user=user, password="wrong", Contact="<sip:a@h>")
        assert isinstance(answer, Answer)
        shape = [(name, len(value)) for name, value in answer.headers]
        shapes.add((answer.status, answer.reason, answer.delay_ms, tuple(shape)))
    assert len(shapes) == 1


def test_each_failure_is_one_line_of_a_fixed_form() -> None:
    desk = Desk()
    with capture_logs() as entries:
        desk.proving(user="4930123456", password="secret-of-mine")
        desk.proving(user="alice", password="secret-of-mine")
    assert entries == 2 * [
        {
            "event": "authentication failed",
            "source": STRANGER,
            "transport": "UDP",
            "method": "INVITE",
            "log_level": "warning",
        }
    ]


def test_who_fails_too_often_waits_and_learns_nothing_meanwhile() -> None:
    desk = Desk()
    delays = [
        answer.delay_ms
        for answer in (desk.proving(password="wrong") for _ in range(4))
        if isinstance(answer, Answer)
    ]
    assert delays == [0, 0, 0, 1000]
    with capture_logs() as entries:
        right = desk.proving()
    assert isinstance(right, Answer)
    assert (right.status, right.delay_ms) == (401, 1000)
    assert "stale=true" in right.headers[0][1]
    assert entries == []
    assert desk.proving(source="203.0.113.10") == Admitted("alice")
    desk.now += 1.0
    assert desk.proving() == Admitted("alice")


def test_a_challenge_that_waited_is_good_when_it_comes() -> None:
    desk = Desk()
    for _ in range(4):
        answer = desk.proving(password="wrong")
    assert isinstance(answer, Answer)
    desk.now += 1.0
    proof = authorization(answer.headers[0][1], "alice", PASSWORD, "INVITE", URI)
    assert desk.ask(Authorization=proof) == Admitted("alice")
