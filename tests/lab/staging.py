"""A switchboard in virtual time, driven as the service drives it."""

from bridge.bridging.phone_side import HoldSource, nothing_on_hold
from bridge.bridging.switchboard import LiveCall, Switchboard
from bridge.iax2 import Address, Endpoint, Event
from bridge.media.sources import Source
from tests.simulation.network import Simulation


class SwitchboardStage:
    """What stages of either direction share; a subclass makes the parts, then opens.

    Attributes:
        simulation: The network and its clock.
        switchboard: The one under test.
        on_hold: What far ends hear while a phone holds.
    """

    simulation: Simulation
    switchboard: Switchboard
    on_hold: HoldSource = staticmethod(nothing_on_hold)

    def open(self, address: Address, endpoint: Endpoint) -> None:
        """Put the switchboard's endpoint on the network."""
        self._address, self._endpoint = address, endpoint
        self._draining = False
        self.simulation.add(address, endpoint, self._handle_event)

    @property
    def now(self) -> float:
        """Virtual time, in seconds."""
        return self.simulation.now

    def _hold_source(self, format_: int) -> Source | None:
        return self.on_hold(format_)

    def _find_call(self, call_id: str) -> LiveCall | None:
        return self.switchboard.find(call_id)

    def _drain(self) -> None:
        """As LinkSocket.drain: at once, but never within itself."""
        if not self._draining:
            self.simulation._drain(self._address, self._endpoint)

    def _handle_event(self, event: Event, now: float) -> None:
        self._draining = True
        try:
            self.switchboard.handle_event(event, now)
        finally:
            self._draining = False
        self._set_alarm()

    def _set_alarm(self) -> None:
        deadline = self.switchboard.next_deadline()
        if deadline is not None:
            self.simulation.at(max(deadline, self.now), self._on_alarm)

    def _on_alarm(self) -> None:
        if (self.switchboard.next_deadline() or self.now + 1) <= self.now:
            self.switchboard.handle_deadlines(self.now)
            self._set_alarm()
