"""How late the loop is: whether new calls would take time that the ones that are up need.

Once may be anybody's: a machine that stood still, a disk. Late twice within a second, for work of
our own, is overload. A link whose audio waits in half a buffer is late, too.

An overload is over when there is time to spare again, not as soon as the loop is late no more. Then
calls are taken on trial, for longer each time: until the loop is late once more, so many can come
that those which are up lose audio. Between the trials it is seen what the new ones cost.
"""

import math
import time
from collections.abc import Callable
from typing import Final

import structlog
import trio

from bridge.net.alarm import Alarm

LAG_MAX_S: Final = 0.1
"""Later than this, and audio is beyond what the reorder buffers of phones make up for."""
BACKLOG_MAX: Final = 0.5
"""More of the link's receive buffer taken, and the next stall would lose audio of all calls."""
LOOK_S: Final = 0.25
BUSY_SHARE: Final = 0.3
"""Of the time between two looks. Below, others hold the loop up: refusing calls helps nobody."""
QUIET_SHARE: Final = 0.05
"""Below, and while nobody asks, it rests: an overload cannot come but by calls, which ask."""
REST_S: Final = 10.0
CALM_S: Final = 1.0
"""For so long it has to be in time again before calls are taken: else they come in bursts."""
SPARE_BUSY_SHARE: Final = 0.75
"""Of that time. Above, there is none to spare: a new call costs more than one that is up."""
SPARE_LAG_S: Final = 0.02
"""Nor above this, one frame, where others take so much of the core that its own share is less."""
PAUSE_S: Final = 0.5
"""For so long there has to be time to spare between trials, in which calls are refused."""
SHORT_MAX_S: Final = 30.0
"""In time for so long, there is no overload any more, however little time is to spare."""
TRIAL_MAX_S: Final = 8.0
"""The first trial lasts from one look to the next, each further one twice as long as the last;
four times, where that left time to spare."""

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
        self._alarm = Alarm()
        self._due = math.inf
        self._looked_at = self._spent_s = 0.0
        self._late_due = self._late_at = self._calm_at = self._trial_ends_at = -math.inf
        self._trial_s = math.inf
        self._is_told = self._is_asked = self._rests = False

    def is_overloaded(self) -> bool:
        """Tell whether the loop was late twice within a second, and not well for one since."""
        now = trio.current_time()
        if self._rests:
            self._look_within(LOOK_S, now)
        self._is_asked = True
        return self._is_late_again(now)

    async def run(self) -> None:
        """Watch until cancelled; begin and end of an overload are logged."""
        self._look_within(LOOK_S, trio.current_time())
        await self._alarm.run(self._look)

    def _look(self, now: float) -> None:
        if self._trial_s <= TRIAL_MAX_S and not self._calm_at <= now < self._trial_ends_at:
            self._judge(now)
        overloaded = self._is_late_again(now)
        self._tell(overloaded=overloaded)
        is_quiet = not (overloaded or self._is_asked) and self._share(now) < QUIET_SHARE
        self._look_within(REST_S if is_quiet else LOOK_S, now)

    def _look_within(self, look_s: float, now: float) -> None:
        self._rests = look_s == REST_S
        self._looked_at, self._spent_s = now, self._cpu()
        self._due = now + look_s
        self._is_asked = False
        self._alarm.set(self._due)

    def _judge(self, now: float) -> None:
        """Between trials, or at the end of one, see whether calls may be taken."""
        is_short = now - self._late_at < SHORT_MAX_S and self._is_short_of_time(now)
        if now >= self._trial_ends_at:
            self._trial_s *= 2 if is_short else 4
        if is_short:
            self._calm_at = max(self._calm_at, now + PAUSE_S)
        self._trial_ends_at = max(now, self._calm_at) + self._trial_s

    def _is_short_of_time(self, now: float) -> bool:
        share = self._share(now)
        return share > SPARE_BUSY_SHARE or (share >= BUSY_SHARE and now - self._due > SPARE_LAG_S)

    def _is_late_again(self, now: float) -> bool:
        if self._due != self._late_due and self._is_late(now) and self._share(now) >= BUSY_SHARE:
            if self._due - self._late_at <= CALM_S:
                self._calm_at, self._trial_s = now + CALM_S, LOOK_S
                self._trial_ends_at = self._calm_at + LOOK_S
            self._late_due, self._late_at = self._due, now
        return now < self._calm_at

    def _is_late(self, now: float) -> bool:
        return now - self._due > LAG_MAX_S or self._backlog() > BACKLOG_MAX

    def _share(self, now: float) -> float:
        """Return how much of the time since the last look was our own work."""
        passed_s = now - self._looked_at
        return (self._cpu() - self._spent_s) / passed_s if passed_s > 0 else 0.0

    def _tell(self, *, overloaded: bool) -> None:
        if overloaded != self._is_told:
            self._is_told = overloaded
            _log.warning("overload: new calls get 503" if overloaded else "overload is over")
