"""The keys that a peer may be sending under, and which one a frame was sent under.

A peer that rotates announces its next key under the old one and uses the new one at once; frames
under the old one may still arrive late or be retransmitted. Plausibility decides.
"""

from collections.abc import Callable

from bridge.iax2.cipher import Opener
from bridge.iax2.errors import FrameError
from bridge.iax2.frames import FullFrame, parse_frame_untrusted


class ReceiveKeys:
    """At most three keys: the current one, one announced, and the one before."""

    __slots__ = ("_announced", "_previous", "current")

    def __init__(self, opener: Opener) -> None:
        self.current = opener
        self._announced: Opener | None = None
        self._previous: Opener | None = None

    def announce(self, key: bytes) -> None:
        """Take a key from RTKEY; it becomes current with the first full frame that proves it."""
        self._announced = Opener(key)

    def open(self, datagram: bytes, judge: Callable[[FullFrame], bool]) -> FullFrame | None:
        """Return the full frame under the first key that makes it plausible, or None."""
        for opener in (self.current, self._announced, self._previous):
            if opener is None:
                continue
            frame = open_full_untrusted(opener, datagram)
            if frame is not None and judge(frame):
                if opener is self._announced:
                    self._previous, self.current, self._announced = self.current, opener, None
                return frame
        return None


def open_full_untrusted(opener: Opener, datagram: bytes) -> FullFrame | None:
    """Decrypt and parse a full frame; None where either fails."""
    clear = opener.open_full(datagram)
    if clear is None:
        return None
    try:
        frame = parse_frame_untrusted(clear)
    except FrameError:
        return None
    return frame if isinstance(frame, FullFrame) else None
