"""Digest access authentication of SIP phones: challenges, their nonces, and the judging of answers.

Pure: `now` and entropy are arguments. It must not know what a request is for, nor where users come
from. Nothing here tells which users exist: an unknown one costs the same and gets the same.

RFC 8760 (SIP), RFC 7616 (digest), RFC 3261 section 22.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from types import MappingProxyType

from bridge.sip.headers import parameters
from bridge.sip.nonce_counts import NonceCounts

NONCE_LIFE_S = 300.0

_TIME_OCTETS = 8
_RANDOM_OCTETS = 8
_SEAL_OCTETS = 16
_MAX_CREDENTIALS_CHARACTERS = 2048
_COUNT_DIGITS = 8
_HEXADECIMAL = frozenset("0123456789abcdefABCDEF")
_MICROSECONDS = 1e6


class Algorithm(Enum):
    """A digest algorithm by its name on the wire; RFC 7616 section 6.1."""

    SHA_256 = "SHA-256"
    MD5 = "MD5"

    def hash(self, text: str) -> str:
        """H() of the RFC, in lower-case hexadecimal digits."""
        octets = text.encode("utf-8", "surrogateescape")
        if self is Algorithm.MD5:
            return hashlib.md5(octets, usedforsecurity=False).hexdigest()
        return hashlib.sha256(octets).hexdigest()


_BY_NAME: Mapping[str, Algorithm] = MappingProxyType({a.value.lower(): a for a in Algorithm})


def ha1(algorithm: Algorithm, user: str, realm: str, password: str) -> str:
    """What is kept instead of a password; RFC 7616 section 3.4.2."""
    return algorithm.hash(f"{user}:{realm}:{password}")


class Verdict(Enum):
    """What a request's credentials are worth."""

    MISSING = auto()  # none for this realm
    STALE = auto()  # not judged: their nonce is old, of others, or was used so already
    WRONG = auto()
    RIGHT = auto()


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict, and the user where it is RIGHT."""

    verdict: Verdict
    user: str = ""


@dataclass(frozen=True, slots=True)
class _Credentials:
    """The parameters of one Authorization field."""

    user: str = field(repr=False)
    nonce: str
    uri: str = field(repr=False)
    response: str = field(repr=False)
    algorithm: Algorithm | None
    cnonce: str
    count: str
    qop: str

    def expected(self, algorithm: Algorithm, method: str, kept: str) -> str:
        """The right `response`; RFC 7616 section 3.4.1."""
        action = algorithm.hash(f"{method}:{self.uri}")
        return algorithm.hash(f"{kept}:{self.nonce}:{self.count}:{self.cnonce}:{self.qop}:{action}")

    @property
    def is_complete(self) -> bool:
        """Whether everything that qop=auth needs is there."""
        has_count = len(self.count) == _COUNT_DIGITS and _HEXADECIMAL.issuperset(self.count)
        return self.qop == "auth" and has_count and bool(self.cnonce)


class DigestServer:
    """Challenges for one realm and judges what comes back.

    Args:
        realm: As phones see it; without quotes and backslashes.
        algorithms: Offered in this order, and accepted.
        kept: HA1 in lower-case hexadecimal digits, by algorithm and user.
        entropy: Random octets of a length, as os.urandom.
        counts: Where the nonces that were used are remembered.
    """

    def __init__(
        self,
        realm: str,
        algorithms: Sequence[Algorithm],
        kept: Mapping[tuple[Algorithm, str], str],
        entropy: Callable[[int], bytes],
        counts: NonceCounts | None = None,
    ) -> None:
        self._realm = realm
        self._algorithms = tuple(algorithms)
        self._kept = kept
        self._entropy = entropy
        self._key = entropy(32)
        self._strangers = {a: a.hash(entropy(32).hex()) for a in Algorithm}
        self._counts = counts or NonceCounts(NONCE_LIFE_S)

    def challenges(self, source: str, now: float, *, stale: bool = False) -> tuple[str, ...]:
        """Values of WWW-Authenticate, one for each algorithm, the best first.

        Args:
            source: Who may use the nonce: an address.
            now: Seconds of any clock that never steps back.
            stale: The last answer was not judged, so the phone need not ask its user.
        """
        nonce = self._new_nonce(source, now)
        suffix = ", stale=true" if stale else ""
        return tuple(
            f'Digest realm="{self._realm}", nonce="{nonce}", algorithm={algorithm.value}, '
            f'qop="auth"{suffix}'
            for algorithm in self._algorithms
        )

    def is_answered_by(self, fields: Iterable[str]) -> bool:
        """Whether a request answers a challenge of this realm, rightly or not."""
        return self._credentials(fields) is not None

    def judge(
        self, fields: Iterable[str], method: str, request_uri: str, source: str, now: float
    ) -> Judgement:
        """Judge the Authorization fields of a request; the first for our realm counts."""
        credentials = self._credentials(fields)
        if credentials is None:
            return Judgement(Verdict.MISSING)
        issued_us = self._issued_us(credentials.nonce, source, now)
        if issued_us is None:
            return Judgement(Verdict.STALE)
        if not self._is_right(credentials, method, request_uri):
            return Judgement(Verdict.WRONG)
        count = int(credentials.count, 16)
        if not self._counts.take(source, credentials.nonce, issued_us, count, now):
            return Judgement(Verdict.STALE)
        return Judgement(Verdict.RIGHT, credentials.user)

    def _credentials(self, fields: Iterable[str]) -> _Credentials | None:
        for text in fields:
            scheme, _, rest = text[:_MAX_CREDENTIALS_CHARACTERS].partition(" ")
            found = parameters(rest) if scheme.lower() == "digest" else {}
            if found.get("realm") == self._realm:
                return _Credentials(
                    user=found.get("username", ""),
                    nonce=found.get("nonce", ""),
                    uri=found.get("uri", ""),
                    response=found.get("response", "").lower(),
                    algorithm=_BY_NAME.get(found.get("algorithm", "md5").lower()),
                    cnonce=found.get("cnonce", ""),
                    count=found.get("nc", ""),
                    qop=found.get("qop", "").lower(),
                )
        return None

    def _is_right(self, credentials: _Credentials, method: str, request_uri: str) -> bool:
        algorithm = credentials.algorithm
        if algorithm not in self._algorithms or not credentials.is_complete:
            return False
        assert algorithm is not None  # noqa: S101  # it is one of ours
        kept = self._kept.get((algorithm, credentials.user))
        expected = credentials.expected(algorithm, method, kept or self._strangers[algorithm])
        response = credentials.response.encode("utf-8", "surrogateescape")
        is_equal = hmac.compare_digest(expected.encode(), response)
        return is_equal and kept is not None and same_place(credentials.uri, request_uri)

    # A nonce: time of issue in us (8 octets), random (8), HMAC over both and its source (16).

    def _new_nonce(self, source: str, now: float) -> str:
        issued = int(now * _MICROSECONDS).to_bytes(_TIME_OCTETS, "big")
        body = issued + self._entropy(_RANDOM_OCTETS)
        return urlsafe_b64encode(body + self._seal(body, source)).rstrip(b"=").decode()

    def _issued_us(self, nonce: str, source: str, now: float) -> int | None:
        """When a nonce was made, unless it is too old, of another source, or none of ours."""
        try:
            octets = b64decode(nonce.encode("ascii") + b"=", altchars=b"-_", validate=True)
        except ValueError:
            return None
        body, seal = octets[:-_SEAL_OCTETS], octets[-_SEAL_OCTETS:]
        if not hmac.compare_digest(seal, self._seal(body, source)):
            return None
        issued_us = int.from_bytes(body[:_TIME_OCTETS], "big")
        return issued_us if now - issued_us / _MICROSECONDS <= NONCE_LIFE_S else None

    def _seal(self, body: bytes, source: str) -> bytes:
        return hmac.digest(self._key, body + source.encode(), "sha256")[:_SEAL_OCTETS]


def same_place(uri: str, request_uri: str) -> bool:
    """Whether the uri that was signed is the one asked for, but for parameters and case of host.

    Phones differ in which parameters of the Request-URI they sign; RFC 7616 section 3.4.6.
    """
    return uri == request_uri or _place(uri) == _place(request_uri)


def _place(uri: str) -> tuple[str, str]:
    user, _, host = uri.partition(";")[0].partition("?")[0].rpartition("@")
    return user.partition(":")[2] or user, host.lower().removeprefix("sip:").removeprefix("sips:")
