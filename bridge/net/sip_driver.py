"""What drives the SIP library where audio is driven, too: its packets cost no pass of trio then."""

from collections.abc import Callable
from typing import Protocol

from bridge.net.alarm import Alarm
from bridge.net.sources import Sources


class Driven(Protocol):
    """A library that handles packets and timers when it is told to."""

    on_schedule: Callable[[float], object]
    """Is told when the next timer is due."""

    def fileno(self) -> int:
        """What is readable while there are packets."""

    def handle_readable(self, now: float) -> None:
        """Handle some."""

    def handle_due(self, now: float) -> None:
        """Handle timers."""

    def reschedule(self) -> None:
        """Tell on_schedule."""


def sip_sources(library: Driven) -> Sources:
    """Return what the library waits for; from now on it sets its alarm itself."""
    alarm = Alarm()
    library.on_schedule = alarm.set
    library.reschedule()
    return Sources({library.fileno(): library.handle_readable}, ((alarm, library.handle_due),))
