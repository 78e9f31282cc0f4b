"""What one phone's call tries: its link, that link anew, then the other links of its route."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import structlog

from bridge.bridging.link import Link
from bridge.iax2 import Cause, EndReason

ATTEMPTS_MAX: Final = 3
"""A peer that repeats a challenge, or whose challenge got lost, is called anew, at most twice."""

_CALLED_ANEW: Final = {
    EndReason.REPLAYED_CHALLENGE: "security: the peer repeated a challenge; calling anew",
    EndReason.LOST_CHALLENGE: "the peer's challenge was lost; calling anew",
}
_SILENCE: Final = frozenset({EndReason.NO_RESPONSE, EndReason.RESTARTED, EndReason.LOST_CHALLENGE})
_REFUSALS: Final = frozenset({EndReason.REJECTED, EndReason.HANGUP})
_TEMPORARY: Final = frozenset(
    {
        Cause.DESTINATION_OUT_OF_ORDER,
        Cause.NORMAL_CIRCUIT_CONGESTION,
        Cause.NETWORK_OUT_OF_ORDER,
        Cause.NORMAL_TEMPORARY_FAILURE,
        Cause.SWITCH_CONGESTION,
        Cause.REQUESTED_CHANNEL_UNAVAILABLE,
    }
)
"""Causes about the link or its peer rather than who is called: another link may do better."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Way:
    """A link, and the digits to send on it."""

    link: Link
    digits: str = field(repr=False)


class Attempts:
    """What comes after an attempt that failed before the far end answered.

    Args:
        way: The first one.
        others: What may be tried after it; asked only when it is needed.
    """

    def __init__(self, way: Way, others: Iterable[Way]) -> None:
        self._way: Way | None = way
        self._others = iter(others)
        self._calls_on_link = 0

    def after(self, reason: EndReason, cause: int | None) -> Way | None:
        """Return what to try next; None: the phone is to hear of the failure."""
        way = self._way
        if way is None:
            return None
        self._calls_on_link += 1
        log = _log.bind(link=way.link.name)
        if reason in _CALLED_ANEW and self._calls_on_link < ATTEMPTS_MAX:
            log.warning(_CALLED_ANEW[reason])
            return way
        following = next(self._others, None) if is_temporary(reason, cause) else None
        if following is not None:
            self._way, self._calls_on_link = following, 0
            log.warning(
                "the link fails: the next one of the route is tried",
                next=following.link.name,
                reason=reason.value,
                cause=cause,
            )
        return following

    def take_digits(self) -> str:
        """Return the digits of the attempt that went through, and forget all; empty after that."""
        way, self._way, self._others = self._way, None, iter(())
        return way.digits if way else ""


def is_temporary(reason: EndReason, cause: int | None) -> bool:
    """Tell whether a failure is the link's alone, and no matter of security or of who is called."""
    return reason in _SILENCE or (reason in _REFUSALS and cause in _TEMPORARY)
