"""From the number that a link's call has dialed to the phone that rings: pure, no I/O.

Owns the order of the routes for such calls. A number is a secret: it is in no repr.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

from bridge.dialing.plan import DialTemplate

_USER_CHARACTERS = "-_.!~*'()&=+$,;?/"
"""What a SIP user part may hold unescaped (RFC 3261 section 25.1, user)."""


@dataclass(frozen=True, slots=True)
class PhoneRoute:
    """One line: numbers from a link that match as a whole ring a phone.

    Attributes:
        match: The expression for the whole number.
        from_link: The link that the call came in on.
        user: The user part of the phone's URI, or the name of a phone that registers.
        place: What stands behind its '@': address, port and parameters; empty: it registers, or is
            on a trunk.
        trunk: The trunk that `user` is called on; empty: none.
    """

    match: re.Pattern[str]
    from_link: str
    user: DialTemplate
    place: str
    trunk: str = ""


@dataclass(frozen=True, slots=True)
class Phone:
    """The phone to call, by its SIP URI."""

    uri: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class TrunkNumber:
    """Whom to call on a trunk; `user` is the user part of the URI, escaped."""

    trunk: str
    user: str = field(repr=False)


Target = Phone | TrunkNumber
"""What one SIP call can be placed to."""


@dataclass(frozen=True, slots=True)
class RegisteredPhone:
    """The phone to call, by the name that it registers with."""

    user: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class DeliveryPlan:
    """All routes for calls from links, in their order."""

    routes: Sequence[PhoneRoute] = ()

    def resolve(self, number: str, from_link: str) -> Target | RegisteredPhone | None:
        """Find the first route of the link whose expression matches the whole number."""
        for route in self.routes:
            if route.from_link == from_link and (match := route.match.fullmatch(number)):
                user = route.user.expand(match)
                if route.trunk:
                    return trunk_number(route.trunk, user)
                if not route.place:
                    return RegisteredPhone(user)
                user = quote(user, safe=_USER_CHARACTERS)
                return Phone(f"sip:{user}@{route.place}")
        return None

    def find(self, number: str, from_link: str) -> Target | RegisteredPhone | None:
        """Find whom a number rings for callers from a link, or else for those from any other."""
        links = dict.fromkeys((from_link, *(route.from_link for route in self.routes)))
        found = (self.resolve(number, link) for link in links)
        return next((phone for phone in found if phone is not None), None)


def trunk_number(trunk: str, number: str) -> TrunkNumber:
    """Return whom to call on a trunk for a number."""
    return TrunkNumber(trunk, quote(number, safe=_USER_CHARACTERS))
