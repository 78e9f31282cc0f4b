"""Keys, digests, call tokens and the memory of challenges."""

import hashlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.iax2.auth import (
    CHALLENGES_REMEMBERED,
    ISSUED_MAX,
    TOKEN_LIFETIME_S,
    Address,
    CallTokens,
    ChallengeMemory,
    IssuedChallenges,
    derive_key,
    equal,
    md5_result,
)

PHONE = ("192.0.2.10", 4569)
PHONE_IPV6 = ("2001:db8::10", 4569, 0, 0)


def entropy(octets: int) -> bytes:
    return random.Random(7).randbytes(octets)


def tokens(seed: int = 7) -> CallTokens:
    return CallTokens(random.Random(seed).randbytes)


def test_the_key_of_a_captured_call() -> None:
    key = derive_key(b"176120585", b"s3cr3t-md5")
    assert key.hex() == "e9425645c3b28c562760b954f3c302c7"


def test_the_digest_of_a_captured_call_and_of_a_registration() -> None:
    assert md5_result(b"167540175", b"s3cr3t-pl") == b"ad37289db126a740a7842765f4f9c970"
    assert md5_result(b"194352043", b"regsecret") == b"69cbba4e7aebc0c51e99cfc0b53f57cc"


@given(st.binary(max_size=64), st.binary(max_size=64))
def test_key_and_digest_are_md5_over_challenge_and_secret(challenge: bytes, secret: bytes) -> None:
    expected = hashlib.md5(challenge + secret)
    assert derive_key(challenge, secret) == expected.digest()
    assert md5_result(challenge, secret) == expected.hexdigest().encode()


@given(st.binary(max_size=20), st.binary(max_size=20))
def test_equal(left: bytes, right: bytes) -> None:
    assert equal(left, right) == (left == right)
    assert equal(left, bytes(left))


def test_our_challenges_are_128_random_bits_in_hex() -> None:
    challenge = IssuedChallenges().issue(entropy, 0)
    assert challenge == entropy(16).hex().encode()
    assert len(challenge) == 32


def test_our_challenges_are_known_for_a_minute() -> None:
    issued, dice = IssuedChallenges(), random.Random(7).randbytes
    first = issued.issue(dice, 100.0)
    assert issued.holds(first, 160.0)
    assert not issued.holds(first, 160.1)
    assert not issued.holds(b"176120585", 100.0)
    assert issued.holds(first, 130.0)
    second = issued.issue(dice, 161.0)
    assert not issued.holds(first, 100.0)
    assert issued.holds(second, 161.0)


def test_no_more_of_them_are_kept_than_there_are_call_numbers() -> None:
    issued, dice = IssuedChallenges(), random.Random(7).randbytes
    first, second, *_ = [issued.issue(dice, 100.0) for _ in range(ISSUED_MAX + 1)]
    assert not issued.holds(first, 100.0)
    assert issued.holds(second, 100.0)


@pytest.mark.parametrize("address", [PHONE, PHONE_IPV6])
@pytest.mark.parametrize("issued_s", [0.0, 0.999, 1795411911.003595, 2.0**32 - 1, 2.0**32 + 5])
def test_a_token_proves_its_address_for_ten_seconds(address: Address, issued_s: float) -> None:
    source = tokens()
    token = source.issue(address, issued_s)
    for age_s in (0.0, 0.5, TOKEN_LIFETIME_S):
        assert source.verify(token, address, issued_s + age_s), age_s
    for age_s in (TOKEN_LIFETIME_S + 1, 60, 86400):
        assert not source.verify(token, address, issued_s + age_s), age_s


def test_a_token_from_the_future_proves_nothing() -> None:
    source = tokens()
    assert not source.verify(source.issue(PHONE, 100), PHONE, 98)


@pytest.mark.parametrize(
    "address",
    [("192.0.2.11", 4569), ("192.0.2.10", 4570), PHONE_IPV6],
)
def test_a_token_proves_no_other_address(address: Address) -> None:
    source = tokens()
    assert not source.verify(source.issue(PHONE, 100), address, 100)


def test_flow_and_scope_are_no_part_of_an_address() -> None:
    source = tokens()
    assert source.verify(source.issue(PHONE_IPV6, 100), ("2001:db8::10", 4569, 7, 3), 100)


def test_a_token_of_another_process_proves_nothing() -> None:
    assert not tokens(8).verify(tokens(7).issue(PHONE, 100), PHONE, 100)


@given(st.floats(0, 2**33), st.integers(1, 65535))
def test_a_token_is_twenty_octets_of_text(now: float, port: int) -> None:
    token = tokens().issue(("192.0.2.10", port), now)
    assert len(token) == 20
    assert b"\0" not in token
    assert token.decode("ascii").isprintable()


@given(st.binary(max_size=64))
def test_garbage_is_no_token(token: bytes) -> None:
    assert not tokens().verify(token, PHONE, 0)


@given(st.integers(0, 19), st.binary(min_size=1, max_size=1))
def test_a_token_that_was_changed_anywhere_proves_nothing(at: int, octet: bytes) -> None:
    source = tokens()
    token = source.issue(PHONE, 100)
    changed = token[:at] + octet + token[at + 1 :]
    same = changed.translate(bytes.maketrans(b"+/", b"-_")) == token
    assert source.verify(changed, PHONE, 100) == same


@pytest.mark.parametrize("cut", [slice(0, 0), slice(0, 16), slice(0, 19), slice(4, 20)])
def test_a_token_that_was_cut_proves_nothing(cut: slice) -> None:
    source = tokens()
    assert not source.verify(source.issue(PHONE, 100)[cut], PHONE, 100)


def test_a_token_that_was_lengthened_proves_nothing() -> None:
    source = tokens()
    assert not source.verify(source.issue(PHONE, 100) + b"AAAA", PHONE, 100)


def test_a_challenge_is_new_once() -> None:
    memory = ChallengeMemory(entropy)
    assert memory.is_new(b"176120585")
    assert memory.is_new(b"106300454")
    assert not memory.is_new(b"176120585")
    assert not memory.is_new(b"176120585")


def test_the_last_65536_challenges_are_remembered() -> None:
    memory = ChallengeMemory(entropy)
    challenges = [str(number).encode() for number in range(CHALLENGES_REMEMBERED)]
    assert CHALLENGES_REMEMBERED == 65536
    assert all(memory.is_new(challenge) for challenge in challenges)
    assert not memory.is_new(challenges[0])
    assert memory.is_new(b"one more")
    assert not memory.is_new(challenges[1])
    assert memory.is_new(challenges[0])


def test_a_challenge_is_kept_as_a_keyed_hash_alone() -> None:
    kept = []
    for seed in (1, 2):
        memory = ChallengeMemory(random.Random(seed).randbytes)
        memory.is_new(b"176120585")
        kept.append(next(iter(memory._seen)))
    assert kept[0] != kept[1]
    assert hashlib.blake2b(b"176120585", digest_size=8).digest() not in kept
    assert b"176120585" not in kept


def test_a_memory_goes_on_where_another_one_ended() -> None:
    kept: list[bytes] = []
    first = ChallengeMemory(entropy, key=b"k" * 16, remember=kept.append)
    assert first.is_new(b"1")
    assert first.is_new(b"2")
    assert not first.is_new(b"2")
    assert len(kept) == 2
    second = ChallengeMemory(entropy, key=b"k" * 16, digests=kept)
    assert not second.is_new(b"1")
    assert second.is_new(b"3")
    assert ChallengeMemory(entropy, key=b"another key of 16", digests=kept).is_new(b"1")
