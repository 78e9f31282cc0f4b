"""From the number that a phone called to a link and the digits to send on it.

Owns the clean-up of what phones put into a SIP user part, the order of routes, the dial template
and the rules for digits that can be dialed at all. Must not know SIP, configuration or time.
A number is a secret: it is in no repr and in no error text.
"""

import re
import string
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Final
from urllib.parse import unquote

from bridge.dialing.caller import CallerFormat
from bridge.errors import BridgeError

DTMF_DIGITS: Final = frozenset("0123456789*#ABCD")
CALLED_CHARACTERS_MAX: Final = 64
"""Longest called number that is matched at all: it bounds what a route's expression can cost."""

_VISUAL_SEPARATORS: Final = str.maketrans("", "", "-.() ")
_TELEPHONE_NUMBER: Final = re.compile(r"\+?[0-9*#A-Da-d]+", re.ASCII)
_CALLER_NUMBER: Final = re.compile("[0-9]+", re.ASCII)
_DTMF_LETTERS: Final = str.maketrans("abcd", "ABCD")


class DialErrorKind(Enum):
    """Why a number cannot be dialed on its link; each is a 484 to the phone."""

    NOT_DTMF = "the number holds characters that are no DTMF digits"
    CONTAINS_TERMINATOR = "the number contains the link's terminator"
    DOES_NOT_FIT = "the number, with the caller where that is sent, is longer than the slots allow"


class DialError(BridgeError):
    """A route was found, but its digits cannot be sent; the text never holds the number."""

    def __init__(self, kind: DialErrorKind) -> None:
        super().__init__(kind.value)
        self.kind = kind


class DialTemplateError(BridgeError):
    """A dial template that does not fit its expression; the text is meant for the operator."""


@dataclass(frozen=True, slots=True)
class DigitLimits:
    """What one link can carry: at most `digits_max` digits, none of them the terminator.

    With a `caller_format` these digits hold the caller as well.
    """

    digits_max: int
    terminator: str
    caller_format: CallerFormat | None = None


@dataclass(frozen=True, slots=True)
class DialTemplate:
    """The digits to send, as literal text (str) and groups of the route's expression (int)."""

    parts: tuple[str | int, ...]

    @classmethod
    def parse(cls, text: str, expression: re.Pattern[str]) -> "DialTemplate":
        """Read a template like `00{1}` or `{area}{rest}`, and hold it against its expression.

        Raises:
            DialTemplateError: braces that do not pair, or a group that the expression lacks.
        """
        try:
            pieces = list(string.Formatter().parse(text))
        except ValueError:
            raise DialTemplateError("braces must pair up, as in '{1}'") from None
        parts: list[str | int] = []
        for literal, name, spec, conversion in pieces:
            if literal:
                parts.append(literal)
            if name is not None:
                if spec or conversion:
                    raise DialTemplateError("a group is written '{1}' and nothing more")
                parts.append(_group_number(name, expression))
        return cls(tuple(parts))

    def expand(self, match: re.Match[str]) -> str:
        """Fill in the groups; one that took no part in the match is empty."""
        return "".join(
            part if isinstance(part, str) else (match[part] or "") for part in self.parts
        )

    @property
    def literal_digits(self) -> str:
        """The characters that every number of this route will contain."""
        return "".join(part for part in self.parts if isinstance(part, str))


def _group_number(name: str, expression: re.Pattern[str]) -> int:
    if name in expression.groupindex:
        return expression.groupindex[name]
    if re.fullmatch(r"[0-9]{1,3}", name, re.ASCII) and int(name) <= expression.groups:
        return int(name)
    known = ["{0}", *(f"{{{number}}}" for number in range(1, expression.groups + 1))]
    known += [f"{{{group}}}" for group in expression.groupindex]
    raise DialTemplateError(f"no group {{{name}}}: this expression has {', '.join(known)}")


@dataclass(frozen=True, slots=True)
class Route:
    """One line of the dial plan: numbers that match as a whole go to `link`.

    Attributes:
        others: Links in order for when `link` fails.
        allow_less_hidden: Whether those may hide less than `link`.
    """

    match: re.Pattern[str]
    link: str
    dial: DialTemplate
    others: tuple[str, ...] = ()
    allow_less_hidden: bool = False


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a call goes, and the digits to send there: DTMF digits, terminator not included.

    Attributes:
        others: Where it goes in turn when that fails.
        allow_less_hidden: Whether those may hide less.
    """

    link: str
    digits: str = field(repr=False)
    others: tuple["Destination", ...] = ()
    allow_less_hidden: bool = False


@dataclass(frozen=True, slots=True)
class DialPlan:
    """All routes in their order; `limits` holds an entry for every link that a route names.

    `emergency` holds the numbers that no route may carry, as dialed, with the number to call then.
    """

    routes: Sequence[Route]
    limits: Mapping[str, DigitLimits]
    emergency: Mapping[str, str] = field(default_factory=dict, repr=False)

    def resolve(self, called: str, *, caller: str = "") -> Destination | None:
        """Find the first route whose expression matches the whole number.

        Args:
            called: The user part as the phone wrote it: escapes, separators and params included.
            caller: The caller's user part, for links that send it.

        Returns:
            The destination, or None where no route matches (404).

        Raises:
            DialError: The number cannot be dialed (484). Nothing else, whatever `called` holds.
        """
        number = canonical_number(called)
        if len(number) > CALLED_CHARACTERS_MAX:
            raise DialError(DialErrorKind.DOES_NOT_FIT)
        route, dialed = self._route_of(number)
        if route is None:
            return None
        digits = self._digits(dialed, caller, route.link)
        others = tuple(self._others(dialed, caller, route))
        return Destination(route.link, digits, others, route.allow_less_hidden)

    def emergency_number(self, called: str) -> str | None:
        """Return the emergency number that a phone has called, None for any other number.

        It is one if what a route makes of it is, as of 9112 behind a 9, or else as it was dialed.
        """
        number = canonical_number(called)
        if not self.emergency or len(number) > CALLED_CHARACTERS_MAX:
            return None
        _, dialed = self._route_of(number)
        return self.emergency.get(dialed) or self.emergency.get(number)

    def _route_of(self, number: str) -> tuple[Route | None, str]:
        for route in self.routes:
            if match := route.match.fullmatch(number):
                return route, route.dial.expand(match).translate(_DTMF_LETTERS)
        return None, ""

    def _digits(self, dialed: str, caller: str, link: str) -> str:
        limits = self.limits[link]
        if limits.caller_format is not None:
            dialed = limits.caller_format.compose(caller_digits(caller), dialed)
        check_digits(dialed, limits)
        return dialed

    def _others(self, dialed: str, caller: str, route: Route) -> Iterator[Destination]:
        """Yield the links behind the first; one that cannot carry the number is left out."""
        for link in route.others:
            with suppress(DialError):
                yield Destination(link, self._digits(dialed, caller, link))


def canonical_number(user_part: str) -> str:
    """Undo what SIP and people add to a number: escapes, parameters and visual separators.

    Separators go only where a telephone number remains, so names like `front-desk` stay whole.
    A leading '+' stays: the dial plan says what it means. RFC 3261 section 19.1.2 has '#' escaped.

    RFC 3966 section 5.1.1.
    """
    bare = unquote(user_part.partition(";")[0], errors="replace")
    number = bare.translate(_VISUAL_SEPARATORS)
    return number if _TELEPHONE_NUMBER.fullmatch(number) else bare


def caller_digits(user_part: str) -> str:
    """Return a caller's number from a SIP user part; empty where there is none.

    Visual separators and a leading '+' go. What then holds anything but 0-9 (a name, "anonymous" as
    in RFC 3323 section 4.1.1.3, a feature code) is no number that could be called back.
    """
    number = canonical_number(user_part).removeprefix("+")
    return number if _CALLER_NUMBER.fullmatch(number) else ""


def check_digits(digits: str, limits: DigitLimits) -> None:
    """Refuse digits that the link cannot carry; none at all is fine, it shows no less.

    Raises:
        DialError: not DTMF, holding the terminator (Read() would cut there), or too many.
    """
    if not DTMF_DIGITS.issuperset(digits):
        raise DialError(DialErrorKind.NOT_DTMF)
    if limits.terminator in digits:
        raise DialError(DialErrorKind.CONTAINS_TERMINATOR)
    if len(digits) > limits.digits_max:
        raise DialError(DialErrorKind.DOES_NOT_FIT)
