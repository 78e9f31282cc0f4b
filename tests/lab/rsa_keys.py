"""RSA keys for one test run, of the one size that Asterisk takes, and the bridge's part of them."""

from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)


def _private_pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())


KEY: Final = rsa.generate_private_key(65537, 1024)
PRIVATE_PEM: Final = _private_pem(KEY)
PUBLIC_PEM: Final = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
OTHER_PEM: Final = _private_pem(rsa.generate_private_key(65537, 1024))
"""A private key that nobody expects."""


def signing(folder: Path, pem: bytes) -> dict[str, object]:
    """Put the bridge's key into its folder, and return what its configuration says of it."""
    (folder / "branch-7.key").write_bytes(pem)
    (folder / "branch-7.key").chmod(0o600)
    return {"links": {"auth": "rsa", "private_key": {"file": "branch-7.key"}}}
