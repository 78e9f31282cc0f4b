"""Hostile SIP messages: those of RFC 4475 and good ones of every method, mutated from a seed.

Nothing here may start a call or end one, so that calls in progress can be watched meanwhile.
"""

import random
from collections.abc import Callable
from typing import Final

from tests.lab.sip_message import SipMessage, write_sdp
from tests.lab.torture import message, names

OCTETS_MAX: Final = 5900
"""Somewhat less than PJSIP takes; each seventieth message is longer."""

_LONG_ONE_IN: Final = 70
_METHODS: Final = (
    *("INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "REGISTER", "PRACK", "UPDATE", "INFO"),
    *("MESSAGE", "SUBSCRIBE", "NOTIFY", "PUBLISH", "REFER"),
)
_EVIL: Final = (
    b"\r\n",
    b"\r\n\r\n",
    b"\r\n ",
    b"\0",
    b'"',
    b"<",
    b">",
    b";",
    b",",
    b"%",
    b"%00",
    b"@",
    b"[::1]",
    b"[",
    b"-1",
    b"4294967296",
    b"18446744073709551616",
    b"\xff\xfe\x80",
    b";lr;maddr=127.0.0.1",
    b";tag=",
    b"Content-Length: 99999\r\n",
    b"Content-Type: multipart/mixed;boundary=a\r\n",
    b"Expires: 4294967295\r\n",
    b"Session-Expires: 0;refresher=uas\r\n",
    b"Replaces: a;to-tag=b;from-tag=c\r\n",
    b'Authorization: Digest username="desk", realm="siax", nonce="", uri="", response=""\r\n',
    b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAAA\r\n",
    b"m=audio 65536 RTP/SAVP 0 8 96 97 98\r\n",
    b"a=rtpmap:0 PCMU/0/0\r\n",
)
_SDP: Final = write_sdp("192.0.2.9", 40000, (0, 8, 97), 1)

Mutation = Callable[[bytes, random.Random], bytes]


def good(method: str, number: int) -> bytes:
    """A request that a phone could send, for nobody whom the bridge knows."""
    own = "192.0.2.9:5060"
    headers = (
        ("via", f"SIP/2.0/UDP {own};rport;branch=z9hG4bK{number}"),
        ("max-forwards", "70"),
        ("from", f'"Fuzz" <sip:fuzz@{own}>;tag=f{number}'),
        ("to", "<sip:nobody@192.0.2.2>" + (";tag=t1" if method in {"ACK", "BYE"} else "")),
        ("call-id", f"fuzz{number}@192.0.2.9"),
        ("cseq", f"{number % 2**31} {method}"),
        ("contact", f"<sip:fuzz@{own}>"),
        ("supported", "100rel, timer, replaces"),
        ("event", "presence"),
        ("rack", "1 1 INVITE"),
        ("refer-to", "<sip:nobody@192.0.2.2?Replaces=a%3Bto-tag%3Db>"),
    )
    body = _SDP if method in {"INVITE", "UPDATE", "PRACK"} else ""
    return SipMessage(f"{method} sip:nobody@192.0.2.2 SIP/2.0", headers, body).encode()


def hostile(seed: int) -> bytes:
    """A message, the same for the same seed."""
    dice = random.Random(seed)
    text = _origin(dice, seed)
    for _ in range(dice.choice((1, 1, 2, 3, 8))):
        text = dice.choice(_MUTATIONS)(text, dice)
    if dice.randrange(_LONG_ONE_IN):
        return text[:OCTETS_MAX]
    return (text * 40)[: dice.randrange(OCTETS_MAX, 65000)]


def _origin(dice: random.Random, seed: int) -> bytes:
    kind = dice.random()
    if kind < 0.3:
        return message(dice.choice(_TORTURE))
    if kind < 0.4:
        request = good(dice.choice(_METHODS), seed)
        status = dice.choice((100, 180, 200, 302, 401, 407, 487, 503, 699))
        return b"SIP/2.0 %d Whatever\r\n" % status + request.partition(b"\r\n")[2]
    return good(dice.choice(_METHODS), seed)


def _span(text: bytes, dice: random.Random) -> tuple[int, int]:
    begin = dice.randrange(len(text) + 1)
    return begin, min(len(text), begin + int(dice.expovariate(1 / 20)))


def _flip(text: bytes, dice: random.Random) -> bytes:
    changed = bytearray(text)
    for _ in range(dice.choice((1, 1, 4, 30)) if changed else 0):
        changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
    return bytes(changed)


def _delete(text: bytes, dice: random.Random) -> bytes:
    begin, end = _span(text, dice)
    return text[:begin] + text[end:]


def _double(text: bytes, dice: random.Random) -> bytes:
    begin, end = _span(text, dice)
    return text[:end] + text[begin:end] * dice.choice((1, 1, 2, 50)) + text[end:]


def _insert(text: bytes, dice: random.Random) -> bytes:
    begin, end = _span(text, dice)
    evil = dice.choice(_EVIL) * dice.choice((1, 1, 1, 3, 200))
    return text[:begin] + evil + text[dice.choice((begin, end)) :]


def _noise(text: bytes, dice: random.Random) -> bytes:
    begin, end = _span(text, dice)
    return text[:begin] + dice.randbytes(end - begin) + text[end:]


def _cut(text: bytes, dice: random.Random) -> bytes:
    return text[: dice.randrange(len(text) + 1)]


def _splice(text: bytes, dice: random.Random) -> bytes:
    other = message(dice.choice(_TORTURE))
    return text[: dice.randrange(len(text) + 1)] + other[dice.randrange(len(other)) :]


def _shuffle_lines(text: bytes, dice: random.Random) -> bytes:
    first, *lines = text.split(b"\r\n")
    dice.shuffle(lines)
    return b"\r\n".join([first, *lines])


def _double_line(text: bytes, dice: random.Random) -> bytes:
    lines = text.split(b"\r\n")
    at = dice.randrange(len(lines))
    return b"\r\n".join([*lines[:at], *[lines[at]] * dice.choice((2, 2, 3, 60)), *lines[at + 1 :]])


_MUTATIONS: Final[tuple[Mutation, ...]] = (
    *(_flip, _delete, _double, _insert, _noise, _cut, _splice, _shuffle_lines, _double_line),
)
_TORTURE: Final = tuple(names())
