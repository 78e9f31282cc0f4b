"""How many calls there may be: in all, on a link, of a phone, and of a phone in one second.

Must not know SIP or IAX2: it counts what it is told, and says in words why a call is too many.
"""

from collections import OrderedDict, deque
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from bridge.errors import BridgeError

RATED_PHONES_MAX: Final = 4096
"""Phones whose newest calls are remembered; with one more, the one that called longest ago goes."""
NOBODY: Final = ""
"""Stands for the phone in a link's call."""


class TooManyCallsError(BridgeError):
    """A limit is reached; `retry_after_s` is when another try makes sense, None: nobody knows."""

    def __init__(self, why: str, retry_after_s: int | None = None) -> None:
        super().__init__(why)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class CallLimits:
    """The limits; None is none.

    Attributes:
        calls_max: Calls at a time, of phones and links together.
        phone_calls_max: Calls at a time that one phone has placed.
        phone_calls_per_s: Calls that one phone may place in any second, refused ones included.
    """

    calls_max: int | None = None
    phone_calls_max: int | None = None
    phone_calls_per_s: int | None = None


class CallGate:
    """Holds calls that begin against the limits."""

    def __init__(self, limits: CallLimits) -> None:
        self._limits = limits
        self._begun: OrderedDict[str, deque[float]] = OrderedDict()

    def is_full(self, live_calls: int) -> bool:
        """Tell whether there are as many calls in all as there may be."""
        return self._limits.calls_max is not None and live_calls >= self._limits.calls_max

    def check(self, phone: str, live: Collection[str], now: float) -> None:
        """Let a phone place a call, or not.

        Args:
            phone: Its name, or its address where it has none.
            live: The phone of each call that is not over, NOBODY for a link's call.
            now: Seconds.

        Raises:
            TooManyCallsError: a limit is reached.
        """
        self._check_rate(phone, now)
        if self.is_full(len(live)):
            raise TooManyCallsError("as many calls as there may be")
        phone_calls_max = self._limits.phone_calls_max
        if phone_calls_max is not None and sum(each == phone for each in live) >= phone_calls_max:
            raise TooManyCallsError("the phone has as many calls as it may")

    def _check_rate(self, phone: str, now: float) -> None:
        per_s = self._limits.phone_calls_per_s
        if per_s is None:
            return
        begun = self._begun.setdefault(phone, deque(maxlen=per_s))
        self._begun.move_to_end(phone)
        if len(self._begun) > RATED_PHONES_MAX:
            self._begun.popitem(last=False)
        if len(begun) == per_s and now - begun[0] < 1:
            raise TooManyCallsError("the phone calls too often", retry_after_s=1)
        begun.append(now)
