"""RSA keys from files: the one that a link signs with, and those of far ends that sign."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from bridge.config.secret import SecretError, read_secret_file
from bridge.config.values import expected, path_in, refusal
from bridge.iax2.rsa import RsaKeyError, read_private_key, read_public_key

_Key = TypeVar("_Key")


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """A key that shows nowhere but to who signs with it.

    `origin` says in words where it came from; `open_to_others` that any user of the machine can
    read or write that file.
    """

    key: RSAPrivateKey = field(repr=False)
    origin: str
    open_to_others: bool = False


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A far end's key; `origin` says in words where it came from."""

    key: RSAPublicKey = field(repr=False)
    origin: str


def private_key_from_file(path: Path, shown_as: str) -> PrivateKey:
    """Read an RSA key in PEM; `shown_as` is its name in texts.

    Raises:
        SecretError: missing, unreadable, no regular file, or no such key.
    """
    octets, open_to_others = read_secret_file(path, "astgenkey -n, or openssl genrsa 1024")
    try:
        return PrivateKey(read_private_key(octets), f"file {shown_as}", open_to_others)
    except RsaKeyError as error:
        raise SecretError(str(error), "file") from None


def public_key_from_file(path: Path, shown_as: str) -> PublicKey:
    """Read the public half of an RSA key in PEM; `shown_as` is its name in texts.

    Raises:
        SecretError: missing, unreadable, no regular file, or no such key.
    """
    octets, _ = read_secret_file(path, "openssl rsa -pubout, from the far end's key")
    try:
        return PublicKey(read_public_key(octets), f"file {shown_as}")
    except RsaKeyError as error:
        raise SecretError(str(error), "file") from None


def private_key_of(value: object, folder: Path) -> PrivateKey | None:
    """Return the key that `{file: PATH}` names, relative to a folder; None of None.

    Raises:
        PydanticCustomError: it is something else, or the file holds no such key.
    """
    return _key_of(value, folder, private_key_from_file)


def public_key_of(value: object, folder: Path) -> PublicKey | None:
    """Return the public key that `{file: PATH}` names, relative to a folder; None of None.

    Raises:
        PydanticCustomError: it is something else, or the file holds no such key.
    """
    return _key_of(value, folder, public_key_from_file)


def _key_of(value: object, folder: Path, read: Callable[[Path, str], _Key]) -> _Key | None:
    match value:
        case None:
            return None
        case {"file": str(name), **others} if name and not others:
            try:
                return read(path_in(folder, name, "a file", "file"), name)
            except SecretError as error:
                raise refusal(str(error), error.key) from None
        case _:
            raise expected("{file: PATH}")


def fitting(key: PrivateKey | None, auth: object) -> PrivateKey | None:
    """Return the key where it fits the way that a link proves itself.

    Raises:
        PydanticCustomError: rsa without a key, or md5 with one.
    """
    if auth == "rsa" and key is None:
        raise refusal("is missing: auth: rsa signs with the RSA key in {file: PATH}")
    if auth == "md5" and key is not None:
        raise refusal("auth: md5 signs nothing; say auth: rsa, or leave this key out")
    return key
