"""The SIP legs of one call to a phone: all its contacts at once, of which one gets the call."""

from typing import Final

from bridge.bridging.services import TalkingLeg
from bridge.sip.sdes import KeyExchange

REQUEST_TERMINATED: Final = 487
NON_SELECTED_USER_CLEARING: Final = 26
"""Q.850: somebody else has taken the call; phones then show it as none that was missed."""

_NOBODY: Final = (480, None)
_BUSY: Final = (486, 600)
_ABSENT: Final = (408, 480, 503)
"""What says little about the phone: any other failure is told rather than these."""


class PhoneLegs:
    """Knows who rings, who is heard, who has answered, and why the others did not.

    Attributes:
        heard: The leg whose media goes to the link; None: nobody's.
        best_failure: The status and Q.850 cause that say most about why nobody answered.
    """

    def __init__(self) -> None:
        self.heard: TalkingLeg | None = None
        self.best_failure: tuple[int, int | None] = _NOBODY
        self._legs: dict[TalkingLeg, KeyExchange] = {}
        self._answered: TalkingLeg | None = None
        self._rings = False
        self._early_media = False

    @property
    def count(self) -> int:
        """How many legs are not over."""
        return len(self._legs)

    def add(self, leg: TalkingLeg, keys: KeyExchange) -> None:
        """Take a leg that calls a contact, and the SRTP keys that were offered on it."""
        self._legs[leg] = keys

    def keys_of(self, leg: TalkingLeg) -> KeyExchange:
        """Return the keys of a leg that is not over."""
        return self._legs[leg]

    def ring(self) -> bool:
        """Take note that a phone rings; whether it is the first one."""
        first, self._rings = not self._rings, True
        return first

    def begins_early_media(self) -> bool:
        """Whether a phone is heard though none has answered; told once."""
        begins = self.heard is not None and not self._early_media
        self._early_media |= begins
        return begins

    def may_be_heard(self, leg: TalkingLeg) -> bool:
        """Tell whether a leg's media counts: that of the first to send any, then of the answer."""
        return self.heard in (None, leg)

    def hear(self, leg: TalkingLeg) -> None:
        """Take note of whose media goes to the link."""
        self.heard = leg

    def answer(self, leg: TalkingLeg) -> None:
        """Give the call to a leg, and cancel all others."""
        others = [other for other in self._legs if other is not leg]
        self._legs = {leg: self._legs[leg]}
        self._answered = self.heard = leg
        for other in others:
            other.end(REQUEST_TERMINATED, q850=NON_SELECTED_USER_CLEARING)

    def replace(self, leg: TalkingLeg, keys: KeyExchange) -> None:
        """Give the call of the leg that has answered to another one, which has answered, too."""
        self._legs = {leg: keys}
        self._answered = self.heard = leg

    @property
    def answered(self) -> TalkingLeg | None:
        """The leg that has the call, or had it last."""
        return self._answered

    def remove(self, leg: TalkingLeg, status: int, q850: int | None) -> bool:
        """Forget a leg that is over; whether it had the call."""
        if leg not in self._legs:
            return False
        del self._legs[leg]
        if self.heard is leg:
            self.heard = None
        if _rank(status) < _rank(self.best_failure[0]) or self.best_failure is _NOBODY:
            self.best_failure = status, q850
        return self._answered is leg

    def end(self, cause: int) -> None:
        """Cancel or hang up what is left."""
        legs, self._legs = self._legs, {}
        for leg in legs:
            leg.end(REQUEST_TERMINATED, q850=cause)


def _rank(status: int) -> int:
    """Order failures: busy says most, an absent phone least."""
    if status in _BUSY:
        return 0
    return 2 if status in _ABSENT else 1
