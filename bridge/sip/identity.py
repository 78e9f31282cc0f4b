"""Who calls: what is believed of an INVITE, and what is said in ours (RFC 3323, RFC 3325).

Pure text. A caller is a secret: it goes near no log, error or repr.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from bridge.sip.admission import Headers
from bridge.sip.headers import MessageHeaders, split_list
from bridge.sip.messages import uri_place, user_part

ANONYMOUS_URI: Final = '"Anonymous" <sip:anonymous@anonymous.invalid>'

_NUMBER: Final = re.compile(r"\+?[0-9().\s-]*[0-9][0-9().\s-]*", re.ASCII)
_WITHHELD: Final = frozenset({"id", "user", "header"})


def caller_of(headers: MessageHeaders, user: str, *, is_trusted: bool) -> str:
    """The user part of who calls by an INVITE, unescaped; empty: unknown, or withheld.

    Withheld is who wants privacy, or calls as Anonymous. Else it is what a trusted sender asserts
    (P-Asserted-Identity), then the `user` that has proved itself, if it is a number, then From.

    RFC 3323 sections 4.1 and 4.2, RFC 3325 sections 9.1 and 9.3.
    """
    claimed = headers.first("from")
    if _WITHHELD & _privacy(headers) or _is_anonymous(claimed):
        return ""
    asserted = _asserted(headers) if is_trusted else iter(())
    numbers = (each for each in (*asserted, user) if _NUMBER.fullmatch(each.partition(";")[0]))
    return next(numbers, "") or user_part(claimed)


def _privacy(headers: MessageHeaders) -> set[str]:
    return {wish.strip().lower() for value in headers.all("privacy") for wish in value.split(";")}


def _is_anonymous(claimed: str) -> bool:
    host, _ = uri_place(claimed[claimed.rfind("<") + 1 :].partition(">")[0])
    named = user_part(claimed).lower()
    return named == "anonymous" or host.lower().endswith("anonymous.invalid")


def _asserted(headers: MessageHeaders) -> Iterator[str]:
    for value in headers.all("p-asserted-identity"):
        yield from map(user_part, split_list(value))


def presented(caller: str | None, line: str, host: str, *, is_trusted: bool) -> tuple[str, Headers]:
    """Our From for a call to a phone, and what one that is trusted is told beside it.

    Args:
        caller: Digits; empty: withheld, or unknown to who should have said it; None: not told.
        line: The name to show where no caller is told.
        host: Our address, as it stands in a URI.
        is_trusted: Whether the phone is one whose word is taken for it, too.
    """
    if caller is None:
        return f"sip:{line}@{host}", ()
    if not caller:
        return ANONYMOUS_URI, (("Privacy", "id"),) if is_trusted else ()
    uri = f"sip:{caller}@{host}"
    return uri, (("P-Asserted-Identity", f"<{uri}>"),) if is_trusted else ()
