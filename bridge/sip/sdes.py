"""The keys of SRTP as SDP carries them: the crypto attribute, and our side of the exchange.

Owns RFC 4568. What a stranger sends makes an attribute unusable and raises nothing. What it does
not do is refused, not ignored: master key identifiers, several keys, key derivation at a rate,
forward error correction, and every parameter that switches encryption or authentication off. Keys
show in no repr, log or error.
"""

from __future__ import annotations

import os
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from bridge.errors import BridgeError
from bridge.media.srtp import SrtpKeys, Suite

MAX_CRYPTO_CHARACTERS = 512
MAX_CRYPTOS = 16

_CRYPTO = re.compile(
    r"(?P<tag>[0-9]{1,9})[ \t]+(?P<suite>[A-Z0-9_]+)[ \t]+"
    r"inline:(?P<key>[A-Za-z0-9+/]+={0,2})(?:\|(?P<lifetime>(?:2\^)?[0-9]{1,15}))?"
    r"(?P<parameters>(?:[ \t]+[!-~]+)*)[ \t]*",
    re.ASCII,
)
_HARMLESS_PARAMETER = re.compile(r"KDR=0|WSH=[0-9]{1,4}|-[!-~]+", re.ASCII)
_LIFETIME_MIN_BITS = 24
_LIFETIME_MAX_BITS = 48


class SdesError(BridgeError):
    """An answer that belongs to no offer of ours."""


class Srtp(Enum):
    """Whether the audio of a phone is encrypted: never, where it offers that, or else no call."""

    OFF = "off"
    OPTIONAL = "optional"
    REQUIRED = "required"


@dataclass(frozen=True, slots=True)
class Crypto:
    """One crypto attribute: how its sender encrypts; `key` is master key and salt."""

    tag: int
    suite: Suite
    key: bytes = field(repr=False)


def parse_crypto_untrusted(value: str) -> Crypto | None:
    """Read what follows a=crypto:, None where we cannot do what it asks.

    A key that may protect less than 2**24 packets, 93 hours of audio, is not taken: nobody counts
    them here. A window-size hint changes nothing, as our window is the one of RFC 3711.

    RFC 4568 sections 6 and 9.
    """
    found = _CRYPTO.fullmatch(value) if len(value) <= MAX_CRYPTO_CHARACTERS else None
    if found is None or found["suite"] not in _SUITES or not _lasts(found["lifetime"]):
        return None
    if not all(_HARMLESS_PARAMETER.fullmatch(word) for word in found["parameters"].split()):
        return None
    suite, text = Suite(found["suite"]), found["key"]
    if len(text) % 4:
        return None
    key = b64decode(text)
    return Crypto(int(found["tag"]), suite, key) if len(key) == suite.key_octets else None


_SUITES = frozenset(suite.value for suite in Suite)


def _lasts(lifetime: str | None) -> bool:
    if lifetime is None:
        return True
    power, _, digits = lifetime.rpartition("^")
    packets = 1 << min(int(digits), _LIFETIME_MAX_BITS + 1) if power else int(digits)
    return 1 << _LIFETIME_MIN_BITS <= packets <= 1 << _LIFETIME_MAX_BITS


def write_crypto(crypto: Crypto) -> str:
    """The attribute as a line of SDP; the key lasts as long as RFC 3711 allows."""
    key = b64encode(crypto.key).decode()
    return f"a=crypto:{crypto.tag} {crypto.suite.value} inline:{key}\r\n"


class KeyExchange:
    """Our side of one call's exchanges of keys, offers and answers in turn.

    A key of ours is used with one key of the phone's: when that changes, so does ours. As long as
    it stays, both go on, through re-INVITEs too, since to begin anew under the same key would
    encrypt two packets alike.

    Attributes:
        local: What our answer says, None in clear.
    """

    __slots__ = ("_entropy", "_keys", "_offered", "local")

    def __init__(self, entropy: Callable[[int], bytes] = os.urandom) -> None:
        self.local: Crypto | None = None
        self._entropy = entropy
        self._keys: SrtpKeys | None = None
        self._offered: tuple[Crypto, ...] = ()

    def offer(self) -> tuple[Crypto, ...]:
        """Return what our offer says: a key for each suite, the same until it is answered."""
        if not self._offered:
            self._offered = tuple(
                Crypto(tag, suite, self._key_of(suite)) for tag, suite in enumerate(Suite, 1)
            )
        return self._offered

    def agree(self, theirs: Sequence[Crypto]) -> SrtpKeys | None:
        """Take the phone's attributes, of its offer or of its answer to ours; None: in clear.

        Of an offer the first one counts, which the phone likes best (RFC 4568 section 5.1.2).

        Raises:
            SdesError: It answers what we did not offer.
        """
        offered, self._offered = self._offered, ()
        if not theirs:
            self.local = self._keys = None
            return None
        chosen = theirs[0]
        key = self._key_for(chosen, offered)
        self.local = Crypto(chosen.tag, chosen.suite, key)
        self._keys = SrtpKeys(chosen.suite, key, chosen.key)
        return self._keys

    def _key_for(self, chosen: Crypto, offered: Sequence[Crypto]) -> bytes:
        if offered:
            for ours in offered:
                if ours.suite is chosen.suite:
                    return ours.key
            raise SdesError("the phone's answer takes a cipher suite that was not offered")
        stays = self._keys is not None and self._keys.remote == chosen.key
        return self._key_of(chosen.suite) if stays else self._entropy(chosen.suite.key_octets)

    def _key_of(self, suite: Suite) -> bytes:
        """Return the key in use with a suite, else a new one."""
        if self._keys is not None and self._keys.suite is suite:
            return self._keys.local
        return self._entropy(suite.key_octets)
