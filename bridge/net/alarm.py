"""A deadline that can be moved while a task sleeps toward it."""

import math
from collections.abc import Callable

import trio


class Alarm:
    """Calls back when its deadline comes; to set it from anywhere in the loop costs little."""

    def __init__(self) -> None:
        self.deadline = math.inf
        self._ask: Callable[[], float | None] | None = None
        self._scope: trio.CancelScope | None = None

    def set(self, deadline: float | None) -> None:
        """Move the deadline; None: no deadline."""
        self._ask = None
        self.deadline = math.inf if deadline is None else deadline
        if self._scope is not None:
            self._scope.deadline = self.deadline

    def set_later(self, ask: Callable[[], float | None]) -> None:
        """Have it asked for when somebody waits for it: once, however often it moves till then."""
        self._ask = ask
        if self._scope is not None:
            self.settle()

    def settle(self) -> float:
        """Return the deadline, asked for where that was left for later."""
        if self._ask is not None:
            self.set(self._ask())
        return self.deadline

    async def run(self, ring: Callable[[float], object]) -> None:
        """Call `ring(now)` at each deadline; it sets the next one. Runs until cancelled."""
        while True:
            with trio.CancelScope(deadline=self.settle()) as scope:
                self._scope = scope
                await trio.sleep_forever()
            self._scope = None
            self.deadline = math.inf
            ring(trio.current_time())
