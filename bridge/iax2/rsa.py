"""RSA as proof of identity: a signature over the challenge, as Asterisk makes and checks it.

It only tells who calls. The encryption is made from the secret in any case: a call with RSA and
without a secret would be in clear, and there are none such here.

Source: RFC 5456 section 8.6.16; Asterisk res_crypto, ast_sign() and ast_check_signature().
"""

from base64 import b64decode, b64encode
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from bridge.iax2.errors import Iax2Error

RSA_BITS: Final = 1024
"""The only size that Asterisk takes, and that an information element has room for."""


class RsaKeyError(Iax2Error):
    """A text that holds no key of the kind that is asked for; its message has none of it."""


def read_private_key(pem: bytes) -> RSAPrivateKey:
    """Read an RSA key of 1024 bits in PEM, without a passphrase, to sign challenges with.

    Raises:
        RsaKeyError: it is anything else.
    """
    try:
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise RsaKeyError("no private key in PEM without a passphrase") from None
    if not isinstance(key, RSAPrivateKey) or key.key_size != RSA_BITS:
        raise RsaKeyError(f"no RSA key of {RSA_BITS} bits, the only size that Asterisk takes")
    return key


def read_public_key(pem: bytes) -> RSAPublicKey:
    """Read an RSA key of 1024 bits in PEM, to check a peer's signatures with.

    Raises:
        RsaKeyError: it is anything else.
    """
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise RsaKeyError("no public key in PEM") from None
    if not isinstance(key, RSAPublicKey) or key.key_size != RSA_BITS:
        raise RsaKeyError(f"no RSA key of {RSA_BITS} bits, the only size that Asterisk takes")
    return key


def rsa_result(challenge: bytes, key: RSAPrivateKey) -> bytes:
    """Return the value of the RSA_RESULT element: SHA-1, PKCS #1 v1.5, base64; 172 octets."""
    return b64encode(key.sign(challenge, PKCS1v15(), SHA1()))  # noqa: S303  Asterisk's choice


def is_signed(result: bytes, challenge: bytes, key: RSAPublicKey) -> bool:
    """Tell whether an RSA_RESULT is the signature of a challenge by the holder of a key."""
    try:
        signature = b64decode(result, validate=True)
        key.verify(signature, challenge, PKCS1v15(), SHA1())  # noqa: S303  Asterisk's choice
    except (ValueError, InvalidSignature):
        return False
    return True
