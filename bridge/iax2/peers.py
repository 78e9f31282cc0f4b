"""What an endpoint keeps up with its peers beside calls: whether they answer, where all are.

Owns the dialogs under call numbers that belong to no call, and the events about peers. What a
dialog says is its own business: see `qualify`, `registration` and `registrar`.
"""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from bridge.iax2.auth import Address, IssuedChallenges
from bridge.iax2.call_numbers import CallNumbers
from bridge.iax2.cipher import Entropy
from bridge.iax2.constants import CALL_NUMBER_STATELESS, FrameType, IaxSubclass
from bridge.iax2.deadlines import Timed
from bridge.iax2.frames import FullFrame, parse_frame_untrusted
from bridge.iax2.qualify import QUALIFY_INTERVAL_S, Qualifier, ReachabilityChanged
from bridge.iax2.rate import RateLimit
from bridge.iax2.registrar import Registrant, RegistrantMoved, RegistrantRefused, Registrar
from bridge.iax2.registration import Registration, RegistrationChanged, RegistrationProfile
from bridge.iax2.services import DialogType, PeerDialog

INVALS_PER_S: Final = 50
"""Also how many at once."""
_NEVER_DISOWNED: Final = frozenset({IaxSubclass.ACK, IaxSubclass.INVAL})

PeerEvent = ReachabilityChanged | RegistrationChanged | RegistrantMoved | RegistrantRefused


class Peers:
    """All dialogs beside calls of one endpoint; made by it alone.

    Attributes:
        issued: Our own challenges, which we never answer.
        registrar: The peers that register with us.
    """

    def __init__(
        self,
        registrants: Iterable[Registrant],
        *,
        entropy: Entropy,
        issued: IssuedChallenges,
        numbers: CallNumbers,
        transmit: Callable[[bytes, Address], None],
        reschedule: Callable[[Timed], None],
    ) -> None:
        self.entropy = entropy
        self.issued = issued
        self.transmit = transmit
        self.reschedule = reschedule
        self._numbers = numbers
        self._dialogs: dict[int, PeerDialog] = {}
        self._events: deque[PeerEvent] = deque()
        self._invals = RateLimit(INVALS_PER_S, INVALS_PER_S)
        self.registrar = Registrar(self, registrants)

    def __len__(self) -> int:
        return len(self._dialogs)

    def qualify(
        self, name: str, now: float, *, interval_s: float = QUALIFY_INTERVAL_S
    ) -> Qualifier:
        """Watch a peer, once `move_to` tells its address; `name` stands in events.

        Raises:
            LocalProtocolError: no call number is free.
        """
        return self.open(lambda number: Qualifier(self, number, name, interval_s), now)

    def register(self, name: str, profile: RegistrationProfile) -> Registration:
        """Register with a peer, once `move_to` tells its address; `name` stands in events."""
        return Registration(self, name, profile)

    @property
    def has_news(self) -> bool:
        """Whether there is an event to poll."""
        return bool(self._events)

    def poll_event(self) -> PeerEvent | None:
        """Return the next event about a peer, None when all are taken."""
        return self._events.popleft() if self._events else None

    def emit(self, event: PeerEvent) -> None:
        """Queue an event (for dialogs)."""
        self._events.append(event)

    def open(self, make: Callable[[int], DialogType], now: float) -> DialogType:
        """Make a dialog under a new call number (for dialogs).

        Raises:
            LocalProtocolError: no call number is free.
        """
        dialog = make(self._numbers.allocate(now))
        self._dialogs[dialog.call_number] = dialog
        return dialog

    def close(self, dialog: PeerDialog, now: float) -> None:
        """Release a dialog's call number (for dialogs)."""
        del self._dialogs[dialog.call_number]
        self._numbers.release(dialog.call_number, now)

    def receive(self, datagram: bytes, call_number: int, address: Address, now: float) -> bool:
        """Take a full frame to a number of ours that no call has; False where it is dropped.

        Raises:
            FrameError: not what its dialog can read.
        """
        dialog = self._dialogs.get(call_number)
        if dialog is None:
            self._disown(datagram, address, now)
            return False
        if dialog.address != address:
            return False
        dialog.receive(datagram, now)
        return True

    def _disown(self, datagram: bytes, address: Address, now: float) -> None:
        """Tell a peer that speaks of what is not known here, as after our restart: INVAL.

        It ends what is not encrypted. A peer in an encrypted call cannot believe it, as its key
        is lost. An INVAL is never answered with INVAL: two such ends would go on for ever.

        Source: RFC 5456 section 6.9; Asterisk chan_iax2, raw_hangup(), for the zeros.
        """
        frame = parse_frame_untrusted(datagram)
        if not isinstance(frame, FullFrame) or frame.source_call_number == CALL_NUMBER_STATELESS:
            return
        if frame.frame_type == FrameType.IAX and frame.subclass in _NEVER_DISOWNED:
            return
        if self._invals.allows(now):
            ours, theirs = frame.destination_call_number, frame.source_call_number
            inval = FullFrame(ours, theirs, 0, 0, 0, FrameType.IAX, IaxSubclass.INVAL)
            self.transmit(inval.encode(), address)
