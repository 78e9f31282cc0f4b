"""The signal clock of a call that the peer dials: in-call slots from the answer on."""

from typing import Final

from bridge.dialing.envelope import IN_CALL_SLOT_S, Envelope, SignalSlots

_NO_BURST: Final = Envelope(
    slots=1, slot_ms=round(IN_CALL_SLOT_S * 1000), start_ms=(0, 0), terminator="#"
)


class SteadySlots(SignalSlots):
    """A signal each 500 ms and no burst of ours: nobody sees when the peer's number was whole."""

    __slots__ = ()

    def __init__(self, first_slot_at: float) -> None:
        super().__init__(_NO_BURST, "", first_slot_at)
        self._dialing.clear()
