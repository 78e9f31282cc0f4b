"""Secrets: where they come from, how strong they look, and how they stay out of sight.

IAX2's challenge and AUTHREP let whoever watches the link guess the secret offline, so a weak one
is refused unless the link says otherwise.
"""

import hmac
import math
import os
import secrets
import stat
import string
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

from bridge.errors import BridgeError

SECRET_CHARACTERS_MIN: Final = 22
SECRET_BITS_MIN: Final = 128
DIFFERENT_CHARACTERS_MIN: Final = 7
SECRET_OCTETS_MAX: Final = 4096

_ALPHABETS: Final = (
    (string.digits, 10),
    ("0123456789abcdef", 16),
    ("0123456789ABCDEF", 16),
    (string.ascii_lowercase, 26),
    (string.ascii_uppercase, 26),
    (string.ascii_lowercase + string.digits, 36),
    (string.ascii_uppercase + string.digits, 36),
    (string.ascii_letters, 52),
    (string.ascii_letters + string.digits, 62),
    (string.ascii_letters + string.digits + "-_", 64),
    (string.ascii_letters + string.digits + "+/=", 64),
)
_PRINTABLE_ALPHABET: Final = 95


class SecretError(BridgeError):
    """A secret could not be had; `key` is the key that names it (`file`, `env`) or empty."""

    def __init__(self, message: str, key: str = "") -> None:
        super().__init__(message)
        self.key = key


@dataclass(frozen=True, slots=True)
class Strength:
    """How a secret looks to somebody who guesses; `weakness` is None where it is good enough."""

    characters: int
    bits: float
    weakness: str | None


class Secret:
    """A secret that shows nowhere: not in repr, str, format, pickles or an error text.

    `origin` says in words where it came from ("file secrets/hq"); `open_to_others` that any
    user of the machine can read or write that file.
    """

    __slots__ = ("_value", "open_to_others", "origin")

    def __init__(self, value: str, origin: str, *, open_to_others: bool = False) -> None:
        self._value = value
        self.origin = origin
        self.open_to_others = open_to_others

    def reveal(self) -> str:
        """The secret itself, for the one place that computes with it."""
        return self._value

    @property
    def strength(self) -> Strength:
        """How strong it looks; what it is made of is not said."""
        return measure_strength(self._value)

    def __repr__(self) -> str:
        return "Secret(…)"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not to be written anywhere")


def measure_strength(value: str) -> Strength:
    """Judge a secret by length x log2(alphabet used), and by what no random one looks like.

    The alphabet is the smallest usual one that holds all characters: hexadecimal digits count
    4 bits each, base64 6.
    """
    alphabet = next(
        (size for letters, size in _ALPHABETS if set(value) <= set(letters)), _PRINTABLE_ALPHABET
    )
    bits = len(value) * math.log2(alphabet)
    return Strength(len(value), bits, _weakness(value, bits))


def _weakness(value: str, bits: float) -> str | None:
    if ";" in value:
        return "holds ';', at which Asterisk cuts it"
    if len(value) < SECRET_CHARACTERS_MIN:
        return f"is shorter than {SECRET_CHARACTERS_MIN} characters"
    if bits < SECRET_BITS_MIN:
        return f"has under {SECRET_BITS_MIN} bits for the characters it uses"
    if len(set(value)) < DIFFERENT_CHARACTERS_MIN or value in (value + value)[1:-1]:
        return "repeats itself"
    return None


def secret_from_file(path: Path, shown_as: str) -> Secret:
    """Read a file that holds the secret in its only line; `shown_as` is its name in texts.

    Raises:
        SecretError: missing, unreadable, no regular file, or not one line of text.
    """
    octets, open_to_others = read_secret_file(path, f"siax keygen -o {path}")
    return Secret(_one_line(octets, "file"), f"file {shown_as}", open_to_others=open_to_others)


def read_secret_file(path: Path, made_with: str) -> tuple[bytes, bool]:
    """Return what a file holds, and whether every user of the machine can read or write it.

    Args:
        path: The file.
        made_with: The command that makes such a file, for the error where there is none.

    Raises:
        SecretError: missing, unreadable, or no regular file.
    """
    try:
        octets, mode = _read_regular_file(path)
    except FileNotFoundError:
        hint = f"make one with: {made_with}"
        raise SecretError(f"the file does not exist ({hint})", "file") from None
    except OSError as error:
        raise SecretError(f"the file cannot be read: {error.strerror}", "file") from None
    return octets, bool(mode & stat.S_IRWXO)


def _read_regular_file(path: Path) -> tuple[bytes, int]:
    # O_NONBLOCK: not to hang on a pipe that has no writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise SecretError("expected a regular file", "file")
        return os.read(descriptor, SECRET_OCTETS_MAX + 1), mode
    finally:
        os.close(descriptor)


def _one_line(octets: bytes, key: str) -> str:
    if len(octets) > SECRET_OCTETS_MAX:
        raise SecretError(f"expected one line of at most {SECRET_OCTETS_MAX} octets", key)
    try:
        text = octets.decode()
    except UnicodeDecodeError:
        raise SecretError("expected text in UTF-8", key) from None
    return checked(text.removesuffix("\n").removesuffix("\r"), key)


def checked(value: str, key: str = "") -> str:
    """Refuse what can only be a mistake: nothing, several lines, spaces at the ends.

    Raises:
        SecretError: with `key`.
    """
    if not value:
        raise SecretError("the secret is empty", key)
    if not value.isprintable():
        raise SecretError("expected one line of printable characters", key)
    if value != value.strip():
        raise SecretError("the secret begins or ends with a space", key)
    return value


def secret_from_environment(name: str, environment: Mapping[str, str]) -> Secret:
    """Take the secret from an environment variable.

    Raises:
        SecretError: The variable is not set, or does not hold one line of text.
    """
    if name not in environment:
        raise SecretError("the environment variable is not set", "env")
    return Secret(checked(environment[name], "env"), f"environment variable {name}")


def new_secret() -> str:
    """256 random bits as 43 characters of base64url: no ';', and strong by the rule above."""
    return secrets.token_urlsafe(32)


def write_new_secret(path: Path) -> None:
    """Put a new secret into a new file that its owner alone can read (mode 600).

    Raises:
        SecretError: The file is there already, or cannot be written.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o600)
        with open(descriptor, "w") as stream:  # noqa: PTH123  a descriptor, not a path
            stream.write(new_secret() + "\n")
    except FileExistsError:
        raise SecretError(f"{path} exists already and is not overwritten") from None
    except OSError as error:
        raise SecretError(f"{path} cannot be written: {error.strerror}") from None
