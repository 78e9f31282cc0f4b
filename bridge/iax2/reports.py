"""How voice arrives, as the two ends of a call tell each other: elements 46 to 51 of a PONG.

Source: RFC 5456 sections 8.6.31 to 8.6.36; Asterisk chan_iax2, construct_rr() and save_rr().
"""

from dataclasses import dataclass
from typing import Self

from bridge.iax2.constants import ElementType
from bridge.iax2.elements import InformationElements
from bridge.iax2.voice import VoicePath

_UINT32_MAX = 0xFFFFFFFF
_UINT24_MAX = 0xFFFFFF
_UINT16_MAX = 0xFFFF


@dataclass(frozen=True, slots=True)
class ReceptionReport:
    """What one end received of the other's voice since the call began.

    Attributes:
        jitter_ms: Interarrival jitter.
        loss_percent: Share of the frames that did not arrive, 0 to 100.
        lost, received: Frames.
        delay_ms: What a jitter buffer adds; ours has none.
        dropped: Frames that arrived and were not played.
        out_of_order: Frames that arrived behind a later one.
    """

    jitter_ms: int = 0
    loss_percent: int = 0
    lost: int = 0
    received: int = 0
    delay_ms: int = 0
    dropped: int = 0
    out_of_order: int = 0

    @classmethod
    def of(cls, voice: VoicePath | None) -> Self:
        """Report on the peer's voice; all zeros while there is none."""
        if voice is None:
            return cls()
        lost = voice.lost
        return cls(
            jitter_ms=int(voice.jitter_ms),
            loss_percent=min(100 * lost // max(lost + voice.received, 1), 100),
            lost=lost,
            received=voice.received,
            dropped=voice.dropped_implausible + voice.dropped_size,
            out_of_order=voice.out_of_order,
        )

    @classmethod
    def read(cls, elements: InformationElements) -> Self | None:
        """Read a peer's report; None where there is none, and what is left out counts as zero."""
        loss = elements.uint(ElementType.RR_LOSS, 4)
        received = elements.uint(ElementType.RR_PKTS, 4)
        if loss is None and received is None:
            return None
        return cls(
            jitter_ms=elements.uint(ElementType.RR_JITTER, 4) or 0,
            loss_percent=(loss or 0) >> 24,
            lost=(loss or 0) & _UINT24_MAX,
            received=received or 0,
            delay_ms=elements.uint(ElementType.RR_DELAY, 2) or 0,
            dropped=elements.uint(ElementType.RR_DROPPED, 4) or 0,
            out_of_order=elements.uint(ElementType.RR_OOO, 4) or 0,
        )

    def elements(self) -> InformationElements:
        """Return the report as elements: fixed widths, so it has one size whatever it tells."""
        return InformationElements.of(
            (ElementType.RR_JITTER, (self.jitter_ms & _UINT32_MAX, 4)),
            (ElementType.RR_LOSS, (self.loss_percent << 24 | min(self.lost, _UINT24_MAX), 4)),
            (ElementType.RR_PKTS, (self.received & _UINT32_MAX, 4)),
            (ElementType.RR_DELAY, (min(self.delay_ms, _UINT16_MAX), 2)),
            (ElementType.RR_DROPPED, (self.dropped & _UINT32_MAX, 4)),
            (ElementType.RR_OOO, (self.out_of_order & _UINT32_MAX, 4)),
        )
