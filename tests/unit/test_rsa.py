"""RSA as proof of identity, by both roles; what it is not is the encryption."""

import hashlib
from base64 import b64decode
from dataclasses import replace
from random import Random

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from bridge.iax2 import (
    CallAnswered,
    CallEnded,
    CallProfile,
    ChallengeMemory,
    Endpoint,
    EndReason,
    Format,
    IncomingCall,
    LocalProtocolError,
    User,
)
from bridge.iax2.constants import AuthMethod, ElementType, FrameType, IaxSubclass
from bridge.iax2.elements import InformationElements
from bridge.iax2.rsa import RsaKeyError, is_signed, read_private_key, read_public_key, rsa_result
from bridge.iax2.states import State
from tests.lab.iax2_pair import EXTENSION, SECRET, USERNAME, Pair
from tests.lab.iax2_peer import Peer
from tests.lab.iax2_phases import (
    CHALLENGE,
    ask_token,
    callee_of,
    challenge,
    new_elements,
    place,
    prove,
    send_new,
    taker,
)
from tests.lab.iax2_wire import FAR, NEAR
from tests.vectors.reference import reference_key

KEY = rsa.generate_private_key(65537, 1024)
OTHER = rsa.generate_private_key(65537, 1024)
SHA1_OF = bytes.fromhex("3021300906052b0e03021a05000414")
"""What stands before a SHA-1 in a signature: RFC 8017 section 9.2."""


def profile(key: rsa.RSAPrivateKey | None = KEY) -> CallProfile:
    memory = ChallengeMemory(Random(1).randbytes)
    return CallProfile(USERNAME, SECRET, EXTENSION, (Format.ULAW,), memory, private_key=key)


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, password: bytes = b"") -> bytes:
    hidden = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, hidden)


def public_pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


class TestSignature:
    def test_it_is_rfc_8017s_of_sha_1_in_base64(self) -> None:
        result = rsa_result(CHALLENGE, KEY)
        assert len(result) == 172
        numbers = KEY.public_key().public_numbers()
        opened = pow(int.from_bytes(b64decode(result), "big"), numbers.e, numbers.n)
        digest = SHA1_OF + hashlib.sha1(CHALLENGE, usedforsecurity=False).digest()
        padding = b"\0\1" + b"\xff" * (128 - 3 - len(digest)) + b"\0"
        assert opened.to_bytes(128, "big") == padding + digest

    def test_the_holders_key_checks_it(self) -> None:
        assert is_signed(rsa_result(CHALLENGE, KEY), CHALLENGE, KEY.public_key())

    @pytest.mark.parametrize(
        "result",
        [
            pytest.param(rsa_result(CHALLENGE, OTHER), id="another key"),
            pytest.param(rsa_result(CHALLENGE + b"1", KEY), id="another challenge"),
            pytest.param(rsa_result(CHALLENGE, KEY)[:-4], id="cut"),
            pytest.param(b"no base64!", id="no base64"),
            pytest.param(b"", id="nothing"),
        ],
    )
    def test_nothing_else_passes(self, result: bytes) -> None:
        assert not is_signed(result, CHALLENGE, KEY.public_key())


class TestKeys:
    def test_both_kinds_are_read_from_pem(self) -> None:
        private, public = read_private_key(pem(KEY)), read_public_key(public_pem(KEY))
        assert is_signed(rsa_result(CHALLENGE, private), CHALLENGE, public)

    @pytest.mark.parametrize(
        "text",
        [
            pytest.param(b"", id="nothing"),
            pytest.param(public_pem(KEY), id="a public key"),
            pytest.param(pem(KEY, b"passphrase"), id="a key with a passphrase"),
            pytest.param(pem(ec.generate_private_key(ec.SECP256R1())), id="no RSA"),
            pytest.param(pem(rsa.generate_private_key(65537, 2048)), id="2048 bits"),
        ],
    )
    def test_what_is_no_private_key(self, text: bytes) -> None:
        with pytest.raises(RsaKeyError):
            read_private_key(text)

    @pytest.mark.parametrize(
        "text",
        [
            pytest.param(b"", id="nothing"),
            pytest.param(pem(KEY), id="a private key"),
            pytest.param(public_pem(ec.generate_private_key(ec.SECP256R1())), id="no RSA"),
            pytest.param(public_pem(rsa.generate_private_key(65537, 2048)), id="2048 bits"),
        ],
    )
    def test_what_is_no_public_key(self, text: bytes) -> None:
        with pytest.raises(RsaKeyError):
            read_public_key(text)


class TestCaller:
    def test_the_signature_goes_inside_the_encryption_that_the_secret_makes(self) -> None:
        peer, call = place(profile())
        challenge(peer, methods=AuthMethod.RSA | AuthMethod.MD5)
        (proof,) = peer.got(IaxSubclass.AUTHREP)
        assert proof.key == reference_key(CHALLENGE, SECRET)
        assert len(proof.datagram) == 212
        signature = proof.elements.get(ElementType.RSA_RESULT) or b""
        assert is_signed(signature, CHALLENGE, KEY.public_key())
        assert ElementType.MD5_RESULT not in proof.elements
        assert call.is_encrypted

    @pytest.mark.parametrize(
        ("key", "methods", "encryption"),
        [
            (KEY, AuthMethod.MD5 | AuthMethod.PLAINTEXT, 1),
            (KEY, AuthMethod.RSA, None),
            (None, AuthMethod.RSA | AuthMethod.PLAINTEXT, 1),
        ],
        ids=["no RSA", "no encryption", "no MD5"],
    )
    def test_another_auth_or_none_that_encrypts_is_a_downgrade(
        self, key: rsa.RSAPrivateKey | None, methods: int, encryption: int | None
    ) -> None:
        peer, call = place(profile(key))
        challenge(peer, methods=methods, encryption=encryption)
        assert not peer.got(IaxSubclass.AUTHREP)
        assert [event.reason for event in peer.told(CallEnded)] == [EndReason.DOWNGRADE]
        assert not call.is_encrypted

    def test_a_profile_shows_no_key(self) -> None:
        assert "RSA" not in repr(profile())

    def test_a_profile_without_a_secret_is_refused(self) -> None:
        memory = ChallengeMemory(Random(1).randbytes)
        with pytest.raises(LocalProtocolError):
            CallProfile(USERNAME, b"", EXTENSION, (Format.ULAW,), memory, private_key=KEY)


def asked_for(username: str, *users: User) -> int | None:
    """Return the method that a caller of that name is asked for."""
    peer = taker(*users)
    send_new(peer, new_elements(ask_token(peer), username=username))
    return peer.got(IaxSubclass.AUTHREQ)[-1].elements.uint(ElementType.AUTHMETHODS, 2)


class TestCallee:
    def ring(self, *users: User) -> Peer:
        peer = taker(*(users or [User(USERNAME, (SECRET,), public_key=KEY.public_key())]))
        send_new(peer, new_elements(ask_token(peer)))
        return peer

    def sign(self, peer: Peer, key: rsa.RSAPrivateKey, secret: bytes = SECRET) -> None:
        asked = peer.got(IaxSubclass.AUTHREQ)[-1].elements
        text = asked.get(ElementType.CHALLENGE) or b""
        peer.encrypt_with(reference_key(text, secret))
        peer.send_iax(IaxSubclass.AUTHREP, (ElementType.RSA_RESULT, rsa_result(text, key)))

    def test_a_user_with_a_public_key_is_asked_for_a_signature_alone(self) -> None:
        peer = self.ring()
        (asked,) = peer.got(IaxSubclass.AUTHREQ)
        assert asked.elements.uint(ElementType.AUTHMETHODS, 2) == AuthMethod.RSA
        self.sign(peer, KEY)
        assert callee_of(peer).state is State.AUTHENTICATED

    @pytest.mark.parametrize("key", [KEY, OTHER])
    def test_a_proof_that_an_asterisk_spoilt_by_sending_it_again(
        self, key: rsa.RSAPrivateKey
    ) -> None:
        peer = self.ring()
        asked = peer.got(IaxSubclass.AUTHREQ)[-1].elements
        text = asked.get(ElementType.CHALLENGE) or b""
        answer = InformationElements.of((ElementType.RSA_RESULT, rsa_result(text, key)))
        frame = peer.frame(FrameType.IAX, IaxSubclass.AUTHREP, answer.encode())
        again = replace(frame, retransmission=True).encode()
        spoilt = bytearray(peer.seal(again, reference_key(text, SECRET)))
        spoilt[9] ^= 0x5A
        peer.inject(bytes(spoilt))
        proven = callee_of(peer).state is State.AUTHENTICATED
        assert proven is (key is KEY)

    def test_who_is_unknown_is_asked_as_some_user_is_and_each_name_ever_alike(self) -> None:
        signs, another = (
            User(USERNAME, (SECRET,), public_key=KEY.public_key()),
            User("b", (SECRET,)),
        )
        names = [f"nobody-{number}" for number in range(20)]
        assert {asked_for(name, signs) for name in names} == {AuthMethod.RSA}
        asked = [asked_for(name, signs, another) for name in names]
        assert set(asked) == {AuthMethod.RSA, AuthMethod.MD5}
        assert [asked_for(name, signs, another) for name in names] == asked

    def test_the_signature_of_another_key_is_no_proof(self) -> None:
        peer = self.ring()
        self.sign(peer, OTHER)
        assert callee_of(peer).state is State.AUTHREQ_SENT
        assert not peer.told(IncomingCall)

    def test_nor_is_the_right_one_under_another_secret(self) -> None:
        peer = self.ring()
        self.sign(peer, KEY, b"a guess")
        assert callee_of(peer).state is State.AUTHREQ_SENT

    def test_nor_the_secret_alone(self) -> None:
        peer = self.ring()
        prove(peer)
        assert callee_of(peer).state is State.AUTHREQ_SENT

    def test_nor_a_signature_where_the_secret_is_asked_for(self) -> None:
        peer = self.ring(User(USERNAME, (SECRET,)))
        self.sign(peer, KEY)
        assert callee_of(peer).state is State.AUTHREQ_SENT

    def test_a_user_with_an_empty_secret_is_refused(self) -> None:
        with pytest.raises(LocalProtocolError):
            User(USERNAME, (SECRET, b""), public_key=KEY.public_key())
        assert "RSA" not in repr(User(USERNAME, (SECRET,), public_key=KEY.public_key()))


def test_both_roles_of_ours_agree() -> None:
    pair = Pair()
    user = User(USERNAME, (SECRET,), public_key=KEY.public_key())
    pair.far = Endpoint([user], entropy=Random(3).randbytes)
    near, far = pair.answered(profile())
    assert near.is_encrypted
    assert far.is_encrypted
    assert pair.told(NEAR, CallAnswered)
    assert not pair.told(FAR, CallEnded)
