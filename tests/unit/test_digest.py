"""Digest: what is offered, what is believed, and that nothing shows which users exist."""

import hashlib
import itertools
import statistics
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.sip.digest import (
    NONCE_LIFE_S,
    Algorithm,
    DigestServer,
    Judgement,
    Verdict,
    _Credentials,
    ha1,
    same_place,
)
from tests.lab.digest_client import authorization, parse_challenge

SOURCE, URI = "192.0.2.7", "sip:9555@198.51.100.1"
PASSWORD = "correct horse battery"


def counted_entropy() -> "DigestEntropy":
    return DigestEntropy()


class DigestEntropy:
    """Octets that differ each time and are the same in every run."""

    def __init__(self) -> None:
        self._numbers = itertools.count()

    def __call__(self, octets: int) -> bytes:
        return hashlib.shake_128(str(next(self._numbers)).encode()).digest(octets)


def server(*algorithms: Algorithm) -> DigestServer:
    offered = algorithms or tuple(Algorithm)
    kept = {(a, "alice"): ha1(a, "alice", "siax", PASSWORD) for a in offered}
    return DigestServer("siax", offered, kept, DigestEntropy())


def answer(
    digest: DigestServer,
    *,
    user: str = "alice",
    password: str = PASSWORD,
    algorithm: int = 0,
    now: float = 100.0,
    count: int = 1,
) -> str:
    challenge = digest.challenges(SOURCE, now)[algorithm]
    return authorization(challenge, user, password, "INVITE", URI, count=count)


def judged(digest: DigestServer, *fields: str, now: float = 100.0, source: str = SOURCE) -> Verdict:
    return digest.judge(fields, "INVITE", URI, source, now).verdict


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        (Algorithm.MD5, "8ca523f5e9506fed4657c9700eebdbec"),
        (Algorithm.SHA_256, "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_example_of_rfc_7616_section_3_9_1(algorithm: Algorithm, response: str) -> None:
    credentials = _Credentials(
        user="Mufasa",
        nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
        uri="/dir/index.html",
        response=response,
        algorithm=algorithm,
        cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
        count="00000001",
        qop="auth",
    )
    kept = ha1(algorithm, "Mufasa", "http-auth@example.org", "Circle of Life")
    assert credentials.expected(algorithm, "GET", kept) == response


def test_challenges_offer_the_better_algorithm_first() -> None:
    sha, md5 = map(parse_challenge, server().challenges(SOURCE, 100.0))
    assert (sha["algorithm"], md5["algorithm"]) == ("SHA-256", "MD5")
    assert sha["realm"] == "siax"
    assert sha["qop"] == "auth"
    assert sha["nonce"] == md5["nonce"]
    assert "stale" not in sha
    assert parse_challenge(server().challenges(SOURCE, 1.0, stale=True)[0])["stale"] == "true"


@pytest.mark.parametrize("algorithm", [0, 1])
def test_the_right_password(algorithm: int) -> None:
    digest = server()
    fields = [answer(digest, algorithm=algorithm)]
    assert digest.judge(fields, "INVITE", URI, SOURCE, 100.0) == Judgement(Verdict.RIGHT, "alice")


def test_what_is_wrong() -> None:
    digest = server()
    assert judged(digest, answer(digest, password="other")) is Verdict.WRONG
    assert judged(digest, answer(digest, user="bob")) is Verdict.WRONG
    assert judged(digest, answer(digest).replace("qop=auth, ", "")) is Verdict.WRONG
    assert judged(digest, answer(digest).replace("nc=00000001", "nc=1")) is Verdict.WRONG
    assert judged(digest, answer(digest).replace("SHA-256", "SHA-512-256")) is Verdict.WRONG
    assert judged(digest, answer(digest).replace(URI, "sip:9777@198.51.100.1")) is Verdict.WRONG
    signed_for_another = answer(digest)
    assert digest.judge([signed_for_another], "REGISTER", URI, SOURCE, 100.0).verdict is (
        Verdict.WRONG
    )


def test_an_answer_for_another_number_is_wrong_though_its_hash_is_right() -> None:
    digest = server()
    verdict = digest.judge(
        [answer(digest)], "INVITE", "sip:9777@198.51.100.1", SOURCE, 100.0
    ).verdict
    assert verdict is Verdict.WRONG


def test_an_algorithm_that_is_not_offered_is_not_believed() -> None:
    digest = server(Algorithm.SHA_256)
    downgraded = digest.challenges(SOURCE, 100.0)[0].replace("SHA-256", "MD5")
    assert judged(digest, authorization(downgraded, "alice", PASSWORD, "INVITE", URI)) is (
        Verdict.WRONG
    )


def test_nothing_for_our_realm_is_missing() -> None:
    digest = server()
    assert judged(digest) is Verdict.MISSING
    assert judged(digest, "Basic YWxpY2U6eA==") is Verdict.MISSING
    assert judged(digest, answer(digest).replace('realm="siax"', 'realm="x"')) is Verdict.MISSING
    other = answer(digest).replace('realm="siax"', 'realm="x"')
    assert judged(digest, other, answer(digest)) is Verdict.RIGHT


def test_each_count_is_believed_once_and_only_upward() -> None:
    digest = server()
    challenge = digest.challenges(SOURCE, 100.0)[0]

    def use(count: int) -> Verdict:
        field = authorization(challenge, "alice", PASSWORD, "INVITE", URI, count=count)
        return judged(digest, field)

    assert [use(1), use(1), use(3), use(2), use(4)] == [
        Verdict.RIGHT,
        Verdict.STALE,
        Verdict.RIGHT,
        Verdict.STALE,
        Verdict.RIGHT,
    ]


def test_a_wrong_password_uses_up_no_count() -> None:
    digest = server()
    challenge = digest.challenges(SOURCE, 100.0)[0]
    wrong = authorization(challenge, "alice", "other", "INVITE", URI, count=9)
    right = authorization(challenge, "alice", PASSWORD, "INVITE", URI)
    assert [judged(digest, wrong), judged(digest, right)] == [Verdict.WRONG, Verdict.RIGHT]


def test_a_nonce_lives_for_5_minutes() -> None:
    digest = server()
    fields = [answer(digest, now=100.0), answer(digest, now=100.0)]
    assert judged(digest, fields[0], now=100.0 + NONCE_LIFE_S) is Verdict.RIGHT
    assert judged(digest, fields[1], now=100.1 + NONCE_LIFE_S) is Verdict.STALE


def test_a_nonce_of_another_source_or_server_or_of_nobody_is_stale() -> None:
    digest = server()
    assert judged(digest, answer(digest), source="192.0.2.8") is Verdict.STALE
    another = DigestServer("siax", tuple(Algorithm), {}, DigestEntropy())
    another._key = bytes(32)
    assert judged(digest, answer(another)) is Verdict.STALE
    for nonce in ("", "=", "A" * 43, "ä", "A" * 5000):
        assert judged(digest, f'Digest realm="siax", nonce="{nonce}"') is Verdict.STALE


@given(st.text(alphabet='Digest realm="siax",nonce=\\<>;:äA0\0', max_size=200))
def test_garbage_is_judged_without_an_error(text: str) -> None:
    assert judged(server(), text) is not Verdict.RIGHT
    assert judged(server(), f'Digest realm="siax", {text}') is not Verdict.RIGHT


def test_a_mutated_answer_is_never_believed() -> None:
    digest = server()
    challenge = digest.challenges(SOURCE, 100.0)[0]
    good = authorization(challenge, "alice", PASSWORD, "INVITE", URI)
    start = good.index("response=")
    for index in range(start + 10, start + 74):
        changed = "0" if good[index] != "0" else "1"
        assert judged(digest, good[:index] + changed + good[index + 1 :]) is Verdict.WRONG


def test_users_that_exist_take_no_longer_than_others() -> None:
    """Medians of 400 each, interleaved: an early return would be a tenth or more."""
    digest = server()
    took: dict[str, list[int]] = {"alice": [], "zelda": []}
    for _ in range(400):
        for user, times in took.items():
            field = answer(digest, user=user, password="wrong")
            began = time.thread_time_ns()
            judged(digest, field)
            times.append(time.thread_time_ns() - began)
    known, unknown = (statistics.median(times) for times in took.values())
    assert abs(known - unknown) < 0.1 * known


@pytest.mark.parametrize(
    ("uri", "is_same"),
    [
        ("sip:9555@198.51.100.1", True),
        ("sip:9555@198.51.100.1;transport=tcp", True),
        ("sips:9555@198.51.100.1", True),
        ("sip:9556@198.51.100.1", False),
        ("sip:9555@198.51.100.2", False),
        ("", False),
    ],
)
def test_the_signed_uri_is_the_one_asked_for(*, uri: str, is_same: bool) -> None:
    assert same_place(uri, URI) is is_same
    assert same_place("sip:HOST.example", "sip:host.EXAMPLE;lr")
