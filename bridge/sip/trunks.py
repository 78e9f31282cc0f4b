"""SIP trunks: whether we are registered with them, or they answer, and when that is tried again.

Owns what is known of each trunk, and the log line of each change. pjsua2's account of a trunk
registers and renews by itself; what has failed is tried again from here, ever more rarely. It must
not know pjsua2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol

import structlog
import trio

from bridge.iax2.auth import Address
from bridge.sip.settings import TrunkSettings, uri_host

SILENT_PAUSE_S: Final = (2.0, 60.0)
REFUSED_PAUSE_S: Final = (10.0, 300.0)
"""From a try that failed to the next, the first one and the longest: doubled with each."""
ASK_EVERY_S: Final = 60.0
"""How often a trunk that we do not register with is asked by OPTIONS whether it is there."""

_SUCCESSES: Final = range(200, 300)
_SILENCE: Final = frozenset({0, 408, 502, 503})
"""What PJSIP says of a server that it could not reach, and such servers of themselves."""
_log = structlog.get_logger("sip")


class TrunkState(Enum):
    """What is known of a trunk."""

    UNKNOWN = "nothing known yet"
    REGISTERED = "registered"
    ANSWERS = "answers"
    REFUSED = "refuses to register us"
    SILENT = "does not answer"
    RELEASED = "released"


_LINES: Final = {
    TrunkState.REGISTERED: ("info", "registered with the trunk"),
    TrunkState.ANSWERS: ("info", "the trunk answers"),
    TrunkState.REFUSED: ("warning", "the trunk refuses to register us"),
    TrunkState.SILENT: ("warning", "the trunk does not answer"),
    TrunkState.RELEASED: ("info", "our registration with the trunk is released"),
}


@dataclass(frozen=True, slots=True)
class TrunkSeen:
    """How a trunk stands, in seconds on the clock of `now`.

    Attributes:
        state: What it said last, or that it says nothing.
        since: Since when that is so; None before the first try has ended.
        expires_at: When it forgets us; None where it does not know us.
        tries_failed: Those since the last success.
        status: The SIP status of the last failure, None without one.
    """

    state: TrunkState = TrunkState.UNKNOWN
    since: float | None = None
    expires_at: float | None = None
    tries_failed: int = 0
    status: int | None = None


class TrunkAccount(Protocol):
    """What a trunk needs of the SIP stack."""

    def move_to(self, address: Address) -> None:
        """Send everything to an address from now on; register where that is wanted."""

    def register(self) -> None:
        """Register anew."""

    def release(self) -> None:
        """Ask to be forgotten."""

    def ask(self, uri: str, told: Callable[[int], None]) -> None:
        """Send OPTIONS; `told` gets the final status."""


class Trunk:
    """One trunk.

    Attributes:
        settings: What is configured of it.
        seen: How it stands.
        address: Where it is; None while its name does not resolve.
        calls: Placed on it since the start.
        account: Its account, while the agent runs.
    """

    def __init__(self, settings: TrunkSettings, clock: Callable[[], float]) -> None:
        self.settings = settings
        self.seen = TrunkSeen()
        self.address: Address | None = None
        self.calls = 0
        self.account: TrunkAccount | None = None
        self._clock = clock
        self._moved = trio.Event()
        self._failed = trio.Event()
        self._is_releasing = False

    def __repr__(self) -> str:
        return f"<Trunk {self.settings.name} {self.seen.state.name}>"

    @property
    def is_releasing(self) -> bool:
        """Whether the answer to the release of our registration is still to come."""
        return self._is_releasing and self.seen.expires_at is not None

    def open(self, account: TrunkAccount) -> None:
        """Take the account; it is used once the trunk's address is known."""
        self.account = account
        if self.address is not None:
            account.move_to(self.address)

    def move_to(self, address: Address) -> None:
        """Take the trunk's address, the same one again too."""
        if address == self.address:
            return
        self.address = address
        if self.account is not None:
            self.account.move_to(address)
        self._moved.set()

    def release(self) -> None:
        """Ask the trunk to forget us, if it knows us."""
        self._is_releasing = True
        if self.account is not None and self.seen.expires_at is not None:
            self.account.release()

    async def run(self) -> None:
        """Keep the registration up, or ask whether the trunk is there, until cancelled."""
        if not self.settings.registers:
            await self._keep_asking()
        while True:
            await self._failed.wait()
            await trio.sleep(self._pause_s())
            self._failed = trio.Event()
            if self.account is not None and not self._is_releasing:
                self.account.register()

    async def _keep_asking(self) -> None:
        await self._moved.wait()
        while True:
            if self.account is not None and self.address is not None:
                host, port = uri_host(self.address[0]), self.address[1]
                uri = f"sip:{host}:{port};transport={self.settings.transport}"
                self.account.ask(uri, self.told_presence)
            await trio.sleep(ASK_EVERY_S)

    def _pause_s(self) -> float:
        is_refused = self.seen.state is TrunkState.REFUSED
        first_s, longest_s = REFUSED_PAUSE_S if is_refused else SILENT_PAUSE_S
        return min(first_s * 2.0 ** min(self.seen.tries_failed - 1, 16), longest_s)

    def told_registration(self, status: int, expires_s: int) -> None:
        """A REGISTER of ours has ended with a status; 0 seconds: the trunk knows us no more."""
        if status in _SUCCESSES and expires_s > 0 and not self._is_releasing:
            self._change(TrunkState.REGISTERED, expires_at=self._clock() + expires_s)
        elif self._is_releasing and status in _SUCCESSES:
            self._change(TrunkState.RELEASED)
        else:
            self._fail(status)
            self._failed.set()

    def told_presence(self, status: int) -> None:
        """An OPTIONS of ours has ended: any status of the trunk's own shows that it lives."""
        if status in _SILENCE:
            self._fail(status)
        else:
            self._change(TrunkState.ANSWERS)

    def _fail(self, status: int) -> None:
        state = TrunkState.SILENT if status in _SILENCE else TrunkState.REFUSED
        self._change(state, tries_failed=self.seen.tries_failed + 1, status=status or None)

    def _change(
        self,
        state: TrunkState,
        *,
        expires_at: float | None = None,
        tries_failed: int = 0,
        status: int | None = None,
    ) -> None:
        before = self.seen
        since = before.since if before.state is state else self._clock()
        self.seen = TrunkSeen(state, since, expires_at, tries_failed, status)
        if before.state is not state or before.status != status:
            level, text = _LINES[state]
            told = {} if status is None else {"status": status}
            getattr(_log, level)(text, trunk=self.settings.name, **told)
