"""Proof of identity: keys and digests from challenges, call tokens, memory of challenges.

Knows nothing of frames or calls.
"""

import hashlib
import hmac
from base64 import b64decode, urlsafe_b64encode
from collections import OrderedDict
from typing import Final

from bridge.iax2.cipher import Entropy

Address = tuple[str, int] | tuple[str, int, int, int]
"""An IPv4 or IPv6 socket address as the socket module gives it."""

TOKEN_LIFETIME_S: Final = 10
CHALLENGES_REMEMBERED: Final = 65_536

_TOKEN_TIME_OCTETS: Final = 4
_TOKEN_MAC_OCTETS: Final = 11
_TIME_MASK: Final = 0xFFFFFFFF
_MEMORY_KEY_OCTETS: Final = 16
_MEMORY_HASH_OCTETS: Final = 8
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


def new_challenge(entropy: Entropy) -> bytes:
    """Return 128 random bits in hex; Asterisk's nine decimal digits repeat too soon."""
    return entropy(_CHALLENGE_OCTETS).hex().encode()


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
    """

    def __init__(self, entropy: Entropy) -> None:
        self._key = entropy(_MEMORY_KEY_OCTETS)
        self._seen: OrderedDict[bytes, None] = OrderedDict()

    def is_new(self, challenge: bytes) -> bool:
        """Remember a challenge; tell whether it was never seen before."""
        digest = hashlib.blake2b(challenge, key=self._key, digest_size=_MEMORY_HASH_OCTETS).digest()
        if digest in self._seen:
            return False
        self._seen[digest] = None
        if len(self._seen) > CHALLENGES_REMEMBERED:
            self._seen.popitem(last=False)
        return True
