"""A trunk's account in pjsua2: registers, proves the password, and is what calls are placed on."""

from __future__ import annotations

from collections.abc import Callable

import pjsua2 as pj
import structlog

from bridge.iax2.auth import Address
from bridge.sip.call import log_failure
from bridge.sip.door import UNREACHABLE, Told
from bridge.sip.library import Library
from bridge.sip.settings import SipError
from bridge.sip.trunks import Trunk

_log = structlog.get_logger("sip")


class PjTrunkAccount(pj.Account):  # type: ignore[misc]  # pjsua2 carries no types
    """The TrunkAccount of one trunk, for as long as the library is open.

    Args:
        trunk: Is told what becomes of registrations.
        library: The open library.
        ask: Sends OPTIONS.
    """

    def __init__(self, trunk: Trunk, library: Library, ask: Callable[[str, Told], None]) -> None:
        super().__init__()
        self._trunk = trunk
        self._library = library
        self._ask = ask

    def move_to(self, address: Address) -> None:
        """See TrunkAccount."""
        try:
            self._library.use_trunk(self, self._trunk.settings, address)
        except SipError as error:
            _log.error("the trunk cannot be used", why=str(error))
            return
        if self._trunk.settings.registers:
            self.register()

    def register(self) -> None:
        """See TrunkAccount."""
        self._renew(is_wanted=True)

    def release(self) -> None:
        """See TrunkAccount."""
        self._renew(is_wanted=False)

    def ask(self, uri: str, told: Told) -> None:
        """See TrunkAccount."""
        self._ask(uri, told)

    def _renew(self, *, is_wanted: bool) -> None:
        try:
            self.setRegistration(is_wanted)
        except pj.Error:  # nothing could be sent
            self._trunk.told_registration(UNREACHABLE, 0)
        finally:
            self._library.reschedule()

    def onRegState(self, prm: pj.OnRegStateParam) -> None:  # noqa: N802
        """A REGISTER has ended."""
        try:
            self._trunk.told_registration(prm.code, prm.expiration)
        except Exception as error:  # noqa: BLE001  # whatever it is, it must not reach C++
            log_failure("onRegState", error)
