"""Registrations of links: ours with the far end, and the far end's with us."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from bridge.config import values
from bridge.config.problems import KeyPath
from bridge.config.secret import Secret
from bridge.config.section import SecretField, Section
from bridge.config.values import refusal


class Register(Section):
    """Our registration with the far end, which learns our address from it."""

    username: values.Username | None = Field(
        None, description="the name to register with; none: the username of the link"
    )
    secret: SecretField = Field(
        description="{file: PATH} or {env: NAME}, used for nothing else; see siax keygen"
    )
    refresh_s: Annotated[int, values.whole_number(20, 3600)] = Field(
        60, description="how long a registration is asked for, in seconds"
    )


class Registrant(Section):
    """What the far end registers here with."""

    username: Annotated[
        str,
        values.text_like(
            r"[A-Za-z0-9][A-Za-z0-9_.+-]{2,62}",
            "a user name of 3 to 63 letters, digits, '-', '_', '.' or '+'",
        ),
    ] = Field(description="the name that the far end registers with, one for each link")
    secret: SecretField = Field(
        description="{file: PATH} or {env: NAME}, used for nothing else; see siax keygen"
    )


@dataclass(frozen=True, slots=True)
class LinkSecret:
    """A secret of a link, and where below `links` it stands."""

    path: KeyPath
    secret: Secret

    def __str__(self) -> str:
        link, *keys = self.path
        return f"{'.'.join(map(str, keys))} of link {link}"


def registrations_apart(calling: Iterator[LinkSecret], registering: Iterator[LinkSecret]) -> None:
    """Refuse a secret of a registration that is used anywhere else.

    The proof of a registration is made as the key of a call is, and is sent in clear.
    """
    seen = list(calling)
    for own in registering:
        for used in seen:
            if own.secret == used.secret:
                raise refusal(f"the same as {used}: make another, siax keygen", *own.path)
        seen.append(own)


def registrants_apart(registrants: Mapping[str, Registrant]) -> None:
    """Refuse registrants of one name: it tells whose address is registered."""
    named: dict[str, str] = {}
    for link, registrant in registrants.items():
        first = named.setdefault(registrant.username, link)
        if first != link:
            text = f"the far end of link {first} registers with this name already"
            raise refusal(text, link, "registrant", "username")
