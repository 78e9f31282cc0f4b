"""Two phones' media made one: each stands where the other's link would be.

Either side keeps what is its own: packet lengths, SRTP, digits, hold, reports. Each 20 ms a frame
is taken from one phone and handed to the other at once, silence where there is none.
"""

from collections.abc import Callable
from functools import partial

from bridge.iax2.auth import Address
from bridge.iax2.constants import Format
from bridge.iax2.voice import FRAME_OCTETS
from bridge.media.call_media import CallMedia


def cross(
    one: CallMedia, other: CallMedia, media_format: Format, clock: Callable[[], float]
) -> None:
    """Let two phones hear each other; frames pass between them in a format.

    Raises:
        CodecError: A phone's codec cannot be translated into the format.
    """
    for media, far in ((one, other), (other, one)):
        now = clock()
        media.connect(_Crossing(media_format, media.rtp_port, now), partial(_pass, far, clock), now)


def _pass(far: CallMedia, clock: Callable[[], float], payload: bytes, timestamp_ms: int) -> None:
    far.receive_voice(payload, timestamp_ms, clock())


class _Crossing:
    """The VoiceLine of one phone. Nothing comes or leaves as a datagram of a link."""

    def __init__(self, media_format: Format, rtp_port: int, now: float) -> None:
        self.format = media_format
        self.frame_octets = FRAME_OCTETS[media_format]
        self.route: tuple[Address, bytes] = (("", rtp_port), b"")
        self._begun_at = now

    def seal(self, _payload: bytes, _timestamp_ms: int) -> None:
        """See VoiceLine: every frame is handed over as a full one is."""

    def open(self, _datagram: bytes, _now: float) -> None:
        """See VoiceLine."""

    def elapsed_ms(self, now: float) -> int:
        """See VoiceLine."""
        return int((now - self._begun_at) * 1000)
