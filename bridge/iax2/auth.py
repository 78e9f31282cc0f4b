"""Proof of identity: keys and digests from challenges, call tokens, memory of challenges.

Knows nothing of frames or calls.
"""

import hashlib
import hmac
from base64 import b64decode, urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final

from bridge.iax2.cipher import Entropy

Address = tuple[str, int] | tuple[str, int, int, int]
"""An IPv4 or IPv6 socket address as the socket module gives it."""

TOKEN_LIFETIME_S: Final = 10
CHALLENGES_REMEMBERED: Final = 65_536
MEMORY_KEY_OCTETS: Final = 16
MEMORY_HASH_OCTETS: Final = 8
ISSUED_LIFETIME_S: Final = 60.0
ISSUED_MAX: Final = 32_768
"""As many as there are call numbers, each of which rests for as long."""

_TOKEN_TIME_OCTETS: Final = 4
_TOKEN_MAC_OCTETS: Final = 11
_TIME_MASK: Final = 0xFFFFFFFF
_CHALLENGE_OCTETS: Final = 16


def derive_key(challenge: bytes, secret: bytes) -> bytes:
    """Return the 16 octets of the call's first AES key.

    Source: Asterisk chan_iax2, authenticate(): MD5 over challenge text and secret.
    """
    return hashlib.md5(challenge + secret, usedforsecurity=False).digest()


def md5_result(challenge: bytes, secret: bytes) -> bytes:
    """Return the value of the MD5_RESULT element: 32 lower-case hex digits.

    It is the AES key in hex, so it leaves only inside the encryption.

    Source: RFC 5456 section 8.6.15.
    """
    return derive_key(challenge, secret).hex().encode()


def equal(left: bytes, right: bytes) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(left, right)


class CallTokens:
    """Issues and verifies call tokens without keeping any state for a source.

    A token is time and HMAC in 20 characters: short, so that the reply to a small NEW does not
    amplify, and text, since Asterisk measures tokens with strlen().

    Source: Asterisk chan_iax2, handle_call_token(); not in RFC 5456.
    """

    def __init__(self, entropy: Entropy) -> None:
        self._key = entropy(hashlib.sha256().digest_size)

    def issue(self, address: Address, now: float) -> bytes:
        """Return a token of 20 octets that proves the address for ten seconds."""
        stamp = (int(now) & _TIME_MASK).to_bytes(_TOKEN_TIME_OCTETS, "big")
        return urlsafe_b64encode(stamp + self._mac(stamp, address))

    def verify(self, token: bytes, address: Address, now: float) -> bool:
        """Tell whether the token was issued to that address in the last ten seconds."""
        try:
            raw = b64decode(token, altchars=b"-_", validate=True)
        except ValueError:
            return False
        stamp, mac = raw[:_TOKEN_TIME_OCTETS], raw[_TOKEN_TIME_OCTETS:]
        age_s = (int(now) - int.from_bytes(stamp, "big")) & _TIME_MASK
        return equal(mac, self._mac(stamp, address)) and age_s <= TOKEN_LIFETIME_S

    def _mac(self, stamp: bytes, address: Address) -> bytes:
        message = stamp + repr(address[:2]).encode()
        return hmac.digest(self._key, message, "sha256")[:_TOKEN_MAC_OCTETS]


class ChallengeMemory:
    """The last 65,536 challenges of a peer, as keyed hashes.

    The answer to a replayed challenge is the key of an old call. Asterisk's challenges are decimals
    of at most nine digits, so that honest repeats happen too.

    Args:
        entropy: Makes the key of the hashes where none is given.
        key: The key that `digests` were made with, of `MEMORY_KEY_OCTETS`.
        digests: Those of earlier runs, oldest first.
        remember: Is told each new hash, of `MEMORY_HASH_OCTETS`, for the runs to come.
    """

    def __init__(
        self,
        entropy: Entropy,
        *,
        key: bytes | None = None,
        digests: Iterable[bytes] = (),
        remember: Callable[[bytes], None] = lambda _digest: None,
    ) -> None:
        self._key = key or entropy(MEMORY_KEY_OCTETS)
        self._seen: OrderedDict[bytes, None] = OrderedDict.fromkeys(digests)
        self._remember = remember

    def is_new(self, challenge: bytes) -> bool:
        """Remember a challenge; tell whether it was never seen before."""
        digest = hashlib.blake2b(challenge, key=self._key, digest_size=MEMORY_HASH_OCTETS).digest()
        if digest in self._seen:
            return False
        self._seen[digest] = None
        if len(self._seen) > CHALLENGES_REMEMBERED:
            self._seen.popitem(last=False)
        self._remember(digest)
        return True


class IssuedChallenges:
    """Our own challenges of the last 60 s.

    Whoever sends one back, in a call that we place, wants us to prove ourselves to ourselves.
    """

    def __init__(self) -> None:
        self._issued: OrderedDict[bytes, float] = OrderedDict()

    def issue(self, entropy: Entropy, now: float) -> bytes:
        """Return a new challenge: 128 random bits in hex; Asterisk's nine digits repeat soon."""
        challenge = entropy(_CHALLENGE_OCTETS).hex().encode()
        while self._issued and self._is_past(next(iter(self._issued.values())), now):
            self._issued.popitem(last=False)
        self._issued[challenge] = now
        return challenge

    def holds(self, challenge: bytes, now: float) -> bool:
        """Tell whether a challenge is one of ours."""
        issued_at = self._issued.get(challenge)
        return issued_at is not None and now - issued_at <= ISSUED_LIFETIME_S

    def _is_past(self, issued_at: float, now: float) -> bool:
        return now - issued_at > ISSUED_LIFETIME_S or len(self._issued) >= ISSUED_MAX
