"""What calls, and dialogs with peers beside calls, need from the endpoint that they belong to."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from bridge.iax2.auth import Address, IssuedChallenges
from bridge.iax2.cipher import Entropy
from bridge.iax2.deadlines import Timed
from bridge.iax2.events import Event
from bridge.iax2.frames import FullFrame

if TYPE_CHECKING:
    from bridge.iax2.call import Call
    from bridge.iax2.peers import PeerEvent

NOWHERE: Final[Address] = ("", 0)
"""The address of a peer that has none yet."""


class PeerDialog(Timed, Protocol):
    """A dialog with a peer beside all calls, under a call number of its own."""

    call_number: int
    address: Address

    def receive(self, datagram: bytes, now: float) -> None:
        """Take a full frame from that address to that number; may raise FrameError."""


DialogType = TypeVar("DialogType", bound=PeerDialog)


class PeerServices(Protocol):
    """What a dialog with a peer needs."""

    entropy: Entropy
    issued: IssuedChallenges

    def transmit(self, datagram: bytes, address: Address) -> None:
        """Queue a datagram."""

    def emit(self, event: "PeerEvent") -> None:
        """Queue an event."""

    def reschedule(self, waiting: Timed) -> None:
        """Look at `waiting.next_deadline()` again."""

    def open(self, make: Callable[[int], DialogType], now: float) -> DialogType:
        """Make a dialog under a new call number, and route to it.

        Raises:
            LocalProtocolError: no call number is free.
        """

    def close(self, dialog: PeerDialog, now: float) -> None:
        """Release a dialog's call number, and route to it no more."""


class FrameWatch(Protocol):
    """Is shown every full frame in clear, digits and keys included: for who debugs a link."""

    def sent(self, frame: FullFrame, address: Address, *, encrypted: bool) -> None:
        """Look at a frame that leaves; `encrypted` tells how it does."""

    def received(self, frame: FullFrame, address: Address, *, encrypted: bool) -> None:
        """Look at a frame that came and was believed."""


class CallServices(Protocol):
    """What a call needs from the endpoint that it belongs to."""

    entropy: Entropy
    padding: Entropy
    issued: IssuedChallenges
    watch: FrameWatch | None

    def transmit(self, datagram: bytes, address: Address) -> None:
        """Queue a datagram."""

    def emit(self, event: Event) -> None:
        """Queue an event."""

    def reschedule(self, call: "Call") -> None:
        """Look at `call.next_deadline()` again."""

    def authenticated(self, call: "Call") -> None:
        """Take note that the caller has proven its secret."""

    def route_voice(self, call: "Call", now: float) -> None:
        """Route the peer's mini frames by its call number, which is now proven."""

    def forget(self, call: "Call", now: float) -> None:
        """Release the call; nothing of it is needed any more."""
