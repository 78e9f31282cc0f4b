"""How late the loop is: whether new calls would take time that the ones that are up need.

Once may be anybody's: a machine that stood still, a disk. Late twice within a second, for work of
our own, is overload. A link whose audio waits in half a buffer is late, too.
"""

import math
import time
from collections.abc import Callable
from typing import Final

import structlog
import trio

LAG_MAX_S: Final = 0.1
"""Later than this, and audio is beyond what the reorder buffers of phones make up for."""
BACKLOG_MAX: Final = 0.5
"""More of the link's receive buffer taken, and the next stall would lose audio of all calls."""
LOOK_S: Final = 0.25
BUSY_SHARE: Final = 0.3
"""Of the time between two looks. Below, others hold the loop up: refusing calls helps nobody."""
CALM_S: Final = 1.0
"""For so long it has to be in time again before calls are taken: else they come in bursts."""

_log = structlog.get_logger(__name__)


class LagWatch:
    """Sleeps, and sees how much later than asked for it wakes, and whether for our own work.

    Args:
        cpu: The CPU time of this process, in seconds.
        backlog: How full the link's receive buffer is, from 0 to 1.
    """

    def __init__(
        self,
        cpu: Callable[[], float] = time.process_time,
        backlog: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._cpu = cpu
        self._backlog = backlog
        self._due = math.inf
        self._looked_at = self._spent_s = 0.0
        self._late_due = self._late_at = self._calm_at = -math.inf
        self._is_told = False

    def is_overloaded(self) -> bool:
        """Tell whether the loop was late twice within a second, and not in time for one since."""
        now = trio.current_time()
        if self._due != self._late_due and self._is_late(now) and self._is_busy(now):
            if self._due - self._late_at <= CALM_S:
                self._calm_at = now + CALM_S
            self._late_due, self._late_at = self._due, now
        return now < self._calm_at

    def _is_late(self, now: float) -> bool:
        return now - self._due > LAG_MAX_S or self._backlog() > BACKLOG_MAX

    def _is_busy(self, now: float) -> bool:
        return self._cpu() - self._spent_s >= BUSY_SHARE * (now - self._looked_at)

    async def run(self) -> None:
        """Watch until cancelled; begin and end of an overload are logged."""
        while True:
            self._looked_at, self._spent_s = trio.current_time(), self._cpu()
            self._due = self._looked_at + LOOK_S
            await trio.sleep_until(self._due)
            self._tell(overloaded=self.is_overloaded())

    def _tell(self, *, overloaded: bool) -> None:
        if overloaded != self._is_told:
            self._is_told = overloaded
            _log.warning("overload: new calls get 503" if overloaded else "overload is over")
