"""How caller and called number stand in one burst, for a far end that should know who calls."""

import re
from dataclasses import dataclass
from typing import Final, Self

from bridge.errors import BridgeError

CALLER_DIGITS_MAX: Final = 32
"""The longest caller that is taken apart; E.164 has 15 digits."""

_CALLER: Final = "caller"
_CALLED: Final = "called"
_NAMES: Final = f"{_CALLER}|{_CALLED}"
_FORMAT: Final = re.compile(
    rf"([*#A-D]*)\{{({_NAMES})\}}([*#A-D]+)\{{({_NAMES})\}}([*#A-D]*)([0-9*#A-D])", re.ASCII
)


class CallerFormatError(BridgeError):
    """A format that the far end could not take apart; the text is meant for the operator."""


@dataclass(frozen=True, slots=True)
class CallerFormat:
    """Caller and called number with signs around them; the terminator is not a part of it.

    Attributes:
        before, between, behind: Signs that are no decimal digits, at least one between the two.
        caller_first: Whether the caller stands before the called number.
    """

    before: str
    between: str
    behind: str
    caller_first: bool

    @classmethod
    def parse(cls, text: str, terminator: str) -> Self:
        """Read a format like `*{caller}*{called}#`, whose last character is the terminator.

        Raises:
            CallerFormatError: It is none, or the far end could not tell the two apart.
        """
        found = _FORMAT.fullmatch(text)
        if found is None or found[2] == found[4]:
            raise CallerFormatError(
                "expected {caller} and {called}, each once, with *, # or A-D between and around "
                "them and the terminator at the end, like '*{caller}*{called}#'"
            )
        if found[6] != terminator:
            raise CallerFormatError("the last character must be the terminator of dialing")
        signs = (found[1], found[3], found[5])
        if any(terminator in sign for sign in signs):
            raise CallerFormatError("the terminator may stand at the end alone: it ends the number")
        return cls(*signs, caller_first=found[2] == _CALLER)

    @property
    def signs(self) -> int:
        """How many digits it adds to caller and called number."""
        return len(self.before) + len(self.between) + len(self.behind)

    @property
    def room(self) -> int:
        """How many digits of a burst may be others than the called number's."""
        return self.signs + CALLER_DIGITS_MAX

    def split(self, digits: str) -> tuple[str, str] | None:
        """Take caller and called number apart; None where they do not stand as they should.

        The caller holds decimal digits alone, so that the signs which end it are clear.
        """
        caller, called = f"([0-9]{{0,{CALLER_DIGITS_MAX}}})", "(.*)"
        first, second = (caller, called) if self.caller_first else (called, caller)
        before, between, behind = map(re.escape, (self.before, self.between, self.behind))
        found = re.fullmatch(f"{before}{first}{between}{second}{behind}", digits)
        if found is None:
            return None
        return (found[1], found[2]) if self.caller_first else (found[2], found[1])

    def compose(self, caller: str, called: str) -> str:
        """Put both together."""
        first, second = (caller, called) if self.caller_first else (called, caller)
        return f"{self.before}{first}{self.between}{second}{self.behind}"
