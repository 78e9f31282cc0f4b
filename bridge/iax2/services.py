"""What a call needs from the endpoint that it belongs to."""

from typing import TYPE_CHECKING, Protocol

from bridge.iax2.auth import Address
from bridge.iax2.cipher import Entropy
from bridge.iax2.events import Event

if TYPE_CHECKING:
    from bridge.iax2.call import Call


class CallServices(Protocol):
    """What a call needs from the endpoint that it belongs to."""

    entropy: Entropy

    def transmit(self, datagram: bytes, address: Address) -> None:
        """Queue a datagram."""

    def emit(self, event: Event) -> None:
        """Queue an event."""

    def reschedule(self, call: "Call") -> None:
        """Look at `call.next_deadline()` again."""

    def learn_peer(self, call: "Call") -> None:
        """Route the peer's frames by its call number, which is now known."""

    def forget(self, call: "Call", now: float) -> None:
        """Release the call; nothing of it is needed any more."""
