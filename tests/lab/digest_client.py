"""The phone's half of digest authentication, written from RFC 7616 without the bridge's code."""

import hashlib
import itertools
import re
from collections.abc import Callable

_HASHES: dict[str, Callable[[bytes], "hashlib._Hash"]] = {
    "MD5": hashlib.md5,
    "SHA-256": hashlib.sha256,
}
_cnonces = itertools.count(1)


def parse_challenge(value: str) -> dict[str, str]:
    """The parameters of a WWW-Authenticate, quotes taken away."""
    return {k: v.strip('"') for k, v in re.findall(r'(\w+)=("[^"]*"|[^\s,]+)', value)}


def authorization(
    challenge: str, user: str, password: str, method: str, uri: str, *, count: int = 1
) -> str:
    """The Authorization that answers a challenge."""
    given = parse_challenge(challenge)
    make = _HASHES[given["algorithm"]]

    def hashed(*parts: str) -> str:
        return make(":".join(parts).encode()).hexdigest()

    secret = hashed(user, given["realm"], password)
    nc, cnonce = f"{count:08x}", f"cnonce{next(_cnonces)}"
    response = hashed(secret, given["nonce"], nc, cnonce, "auth", hashed(method, uri))
    return (
        f'Digest username="{user}", realm="{given["realm"]}", nonce="{given["nonce"]}", '
        f'uri="{uri}", response="{response}", algorithm={given["algorithm"]}, qop=auth, '
        f'nc={nc}, cnonce="{cnonce}"'
    )


def proves(authorization: str, user: str, realm: str, password: str, method: str) -> bool:
    """Whether an Authorization shows that its sender knows the password."""
    given = parse_challenge(authorization)
    make = _HASHES[given.get("algorithm", "MD5")]

    def hashed(*parts: str) -> str:
        return make(":".join(parts).encode()).hexdigest()

    secret = hashed(user, realm, password)
    middle = [given[name] for name in ("nonce", "nc", "cnonce", "qop")]
    expected = hashed(secret, *middle, hashed(method, given["uri"]))
    return given["username"] == user and given["response"] == expected
