"""Phones with passwords: digest, registrar, their file and their keep-alive, made one service.

The composition root of what lies in digest, registrar, phone_admission and binding_store.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import structlog
import trio

from bridge.sip.admission import allow_networks
from bridge.sip.agent import SipAgent
from bridge.sip.binding_store import BindingStore, keep_stored
from bridge.sip.digest import Algorithm, DigestServer
from bridge.sip.messages import uri_place, user_part
from bridge.sip.phone_admission import PhoneAdmission
from bridge.sip.registrar import Binding, Contact, Registrar, RegistrarSettings
from bridge.sip.settings import Network

OPTIONS_PER_S_MAX: Final = 100.0
"""With more contacts than that each is asked less often."""
OPTIONS_AT_ONCE: Final = 8
"""One wake-up serves them all, and audio does not notice the time that they take."""

_GATHER_S: Final = 1.0
"""From start or first contact to the first question: phones tend to come together."""
_UNREACHABLE: Final = frozenset({408, 503})
_log = structlog.get_logger("sip")


@dataclass(frozen=True, slots=True)
class PhoneSettings:
    """What phones prove themselves with, and where their contacts are kept.

    `kept` holds HA1 in lower-case hexadecimal digits by algorithm and user. `allow` holds the
    networks that may call without a password.
    """

    users: tuple[str, ...] = field(repr=False)
    realm: str
    algorithms: Sequence[Algorithm]
    kept: Mapping[tuple[Algorithm, str], str] = field(repr=False)
    allow: tuple[Network, ...]
    state_dir: Path
    keep_alive_s: float = 30.0
    registrar: RegistrarSettings = field(default_factory=RegistrarSettings)


class Phones:
    """The phones of one agent: `admission` is for the agent, `contacts` for who calls phones."""

    def __init__(self, settings: PhoneSettings) -> None:
        self._settings = settings
        self._agent: SipAgent | None = None
        clock = trio.current_time
        self.registrar = Registrar(settings.users, settings.registrar, clock, self._trust)
        digest = DigestServer(settings.realm, settings.algorithms, settings.kept, os.urandom)
        allowed = allow_networks(settings.allow)
        self.admission = PhoneAdmission(allowed, digest, self.registrar, clock)

    def contacts(self, user: str) -> tuple[Contact, ...]:
        """Where a phone can be called, what it prefers first."""
        return self.registrar.contacts(user)

    def targets(self, user: str) -> tuple[str, ...] | None:
        """Return the SIP URIs of a phone's contacts that answer; None where none is so called."""
        if user not in self._settings.users:
            return None
        return tuple(contact.target for contact in self.contacts(user) if contact.is_reachable)

    def owner(self, uri: str) -> str:
        """Return whose contact is called at a SIP URI; empty: nobody's."""
        bindings = self.registrar.bindings()
        return next((each.user for each in bindings if each.target == uri), "")

    def targets_at(self, user: str, place: tuple[str, int]) -> tuple[str, ...]:
        """Return the SIP URIs of the contacts that are this user at this host and port.

        As the phones say it themselves, or as they are reached.
        """
        return tuple(
            binding.target
            for binding in self.registrar.bindings()
            if (place[0] in binding.uri or place[0] == binding.flow.host)
            and place in (uri_place(binding.uri), uri_place(binding.target))
            and user_part(binding.uri) == user
        )

    async def run(
        self, agent: SipAgent, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Read what was kept, then keep it up to date and contacts alive; before the agent runs.

        Raises:
            StoreError: the state folder cannot be used.
        """
        self._agent = agent
        store = await trio.to_thread.run_sync(BindingStore, self._settings.state_dir)
        kept = await trio.to_thread.run_sync(store.load, trio.current_time())
        self.registrar.restore(kept)
        news = trio.lowlevel.ParkingLot()
        self.registrar.on_change = news.unpark_all
        _log.info("registrations read", contacts=len(self.registrar))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(keep_stored, self.registrar, store, news)
            nursery.start_soon(self._keep_alive, news)
            task_status.started()

    async def _keep_alive(self, news: trio.lowlevel.ParkingLot) -> None:
        """Ask every contact in turn whether it is there; this keeps NAT open, too."""
        await trio.sleep(_GATHER_S)  # the agent runs by then: it asks those that were kept
        while True:
            bindings = self.registrar.bindings()
            for start in range(0, len(bindings), OPTIONS_AT_ONCE):
                for binding in bindings[start : start + OPTIONS_AT_ONCE]:
                    self._ask(binding)
                await trio.sleep(self._pause_s())
            self.registrar.expire()
            if not bindings:
                await news.park()
                await trio.sleep(_GATHER_S)

    def _pause_s(self) -> float:
        """Return from when to when some contacts are asked, for each to have its turn in time."""
        turns = math.ceil(len(self.registrar) / OPTIONS_AT_ONCE)
        return max(self._settings.keep_alive_s / max(1, turns), OPTIONS_AT_ONCE / OPTIONS_PER_S_MAX)

    def _ask(self, binding: Binding) -> None:
        if self._agent is not None and self.registrar.is_current(binding):
            self._agent.options(binding.target, partial(self._told, binding))

    def _told(self, binding: Binding, status: int) -> None:
        self.registrar.mark(binding, reachable=status not in _UNREACHABLE)

    def _trust(self, host: str, is_trusted: bool) -> None:  # noqa: FBT001  # a callback
        if self._agent is not None:
            self._agent.trust(host, is_trusted)
