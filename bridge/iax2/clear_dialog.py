"""A short dialog of IAX frames in clear: one frame waits for its answer at a time.

Registrations are such dialogs; IAX2 encrypts none of them. Owns the sequence and what is sent
again. Knows nothing of what the frames mean.
"""

from bridge.iax2.auth import Address
from bridge.iax2.channel import FrameChannel
from bridge.iax2.constants import (
    CALL_NUMBER_NONE,
    CALL_NUMBER_STATELESS,
    FrameType,
    IaxSubclass,
)
from bridge.iax2.elements import InformationElements
from bridge.iax2.errors import FrameError
from bridge.iax2.frames import FullFrame
from bridge.iax2.inputs import is_unsequenced
from bridge.iax2.reliability import Order
from bridge.iax2.services import PeerServices


class ClearDialog:
    """The base of a dialog; it is over at its deadline at the latest.

    Attributes:
        call_number: Ours.
        address: The peer's.
    """

    def __init__(
        self, services: PeerServices, call_number: int, address: Address, deadline: float
    ) -> None:
        self.call_number = call_number
        self.filed: list[float] = []
        self.address = address
        self._services = services
        self._channel = FrameChannel(call_number, address, services.transmit)
        self._deadline: float | None = deadline

    def receive(self, datagram: bytes, now: float) -> None:
        """Take a frame of the peer.

        Raises:
            FrameError: no IAX frame, one of another dialog, or one that is malformed.
        """
        frame = self._channel.open(datagram, now)
        if frame is None or frame.frame_type != FrameType.IAX or not self._is_ours(frame):
            raise FrameError("no IAX frame of this dialog")
        if frame.source_call_number != CALL_NUMBER_STATELESS:
            self._settle(frame.iseqno, now)
        self._take(frame, now)
        self._services.reschedule(self)

    def next_deadline(self) -> float | None:
        """Return when `handle_timeout` wants to be called."""
        if self._deadline is None:
            return None
        again_at = self._channel.sequence.next_deadline()
        return self._deadline if again_at is None else min(again_at, self._deadline)

    def handle_timeout(self, now: float) -> None:
        """Send again what is due; give up at the deadline."""
        if self._deadline is not None and now >= self._deadline:
            self._give_up(now)
            return
        for waiting in self._channel.sequence.due(now, handshake=True):
            self._channel.retransmit(waiting)
        self._services.reschedule(self)

    def close(self, now: float) -> None:
        """Leave the dialog as it stands; its call number is released."""
        self._deadline = None
        self._channel.sequence.drop_outstanding()
        self._services.reschedule(self)
        self._services.close(self, now)

    def _act(self, frame: FullFrame, now: float) -> None:
        """Act on a frame that is neither ACK nor VNAK, each once and in order (for roles)."""

    def _on_acknowledged(self, now: float) -> None:
        """Act on the acknowledgement of what was sent last; nothing by default."""

    def _give_up(self, now: float) -> None:
        """End the dialog, as its time has come (for roles)."""

    def _send(self, subclass: IaxSubclass, elements: InformationElements, now: float) -> None:
        self._channel.send(FrameType.IAX, subclass, elements.encode(), now=now)
        self._services.reschedule(self)

    def _is_ours(self, frame: FullFrame) -> bool:
        known = self._channel.peer_call_number
        return known == CALL_NUMBER_NONE or frame.source_call_number in (
            known,
            CALL_NUMBER_STATELESS,
        )

    def _settle(self, iseqno: int, now: float) -> None:
        settled = self._channel.sequence.acknowledge(iseqno, now)
        if settled and not self._channel.sequence.outstanding:
            self._on_acknowledged(now)

    def _take(self, frame: FullFrame, now: float) -> None:
        if frame.subclass == IaxSubclass.VNAK:
            for waiting in self._channel.sequence.answer_vnak(frame.iseqno, now):
                self._channel.retransmit(waiting)
        elif is_unsequenced(frame):
            if frame.subclass != IaxSubclass.ACK:
                self._act(frame, now)
        else:
            self._take_sequenced(frame, now)

    def _take_sequenced(self, frame: FullFrame, now: float) -> None:
        """Act on the frame that is due; one that is ahead comes again, as its sender waits."""
        if self._channel.peer_call_number == CALL_NUMBER_NONE:
            self._channel.learn_peer(frame, now)
        match self._channel.sequence.order_of(frame.oseqno):
            case Order.EXPECTED:
                self._channel.sequence.accept()
                self._act(frame, now)
                if self._channel.sequence.acknowledgement_owed:
                    self._channel.acknowledge(frame)
            case Order.BEHIND:
                self._channel.acknowledge(frame)
