"""The keys of a call: whence they are, and which of the peer's a frame was sent under.

Each direction has a key of its own. A side that rotates announces its next key under the old one
and uses the new one at once; frames under the old one may still arrive late or be retransmitted.
Plausibility decides.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

from bridge.iax2.cipher import FULL_CLEAR_OCTETS, Opener
from bridge.iax2.constants import FrameType
from bridge.iax2.elements import parse_elements_untrusted
from bridge.iax2.errors import FrameError
from bridge.iax2.frames import FullFrame, parse_frame_untrusted
from bridge.iax2.plausibility import is_known

KEYS_ANNOUNCED_MAX: Final = 2
"""How many keys a peer may announce without proving one; the oldest gives way."""

_RETRANSMISSION: Final = 0x80
_WITH_DATA: Final = frozenset(
    {FrameType.VOICE, FrameType.VIDEO, FrameType.TEXT, FrameType.IMAGE, FrameType.HTML}
)
_LONG_PADDINGS: Final = range(22, 32)


class KeyOrigin(Enum):
    """Who made the key of a direction."""

    HANDSHAKE = "made from challenge and secret"
    OURS = "rotated by this side"
    PEER = "rotated by the peer"


@dataclass(frozen=True, slots=True)
class KeyUse:
    """Whence the key of one direction is, and since when it is used (`now` of the engine, in s)."""

    origin: KeyOrigin
    since: float


class ReceiveKeys:
    """The current key, at most two announced and two before it.

    Attributes:
        current: The newest key that a full frame has proven.
        use: Whence that one is, and since when it is proven.
    """

    __slots__ = ("_announced", "_previous", "current", "use")

    def __init__(self, opener: Opener, now: float) -> None:
        self.current = opener
        self.use = KeyUse(KeyOrigin.HANDSHAKE, now)
        self._announced: tuple[Opener, ...] = ()
        self._previous: tuple[Opener, ...] = ()

    @property
    def announced(self) -> tuple[Opener, ...]:
        """Keys that the peer may be using already, oldest first; none is proven."""
        return self._announced

    @property
    def previous(self) -> tuple[Opener, ...]:
        """Keys that late frames may be under."""
        return self._previous

    def announce(self, key: bytes) -> None:
        """Take a key from RTKEY; it becomes current with the first full frame that proves it."""
        self._announced = (*self._announced, Opener(key))[-KEYS_ANNOUNCED_MAX:]

    def open(
        self, datagram: bytes, judge: Callable[[FullFrame], bool], now: float
    ) -> FullFrame | None:
        """Return the full frame under the first key that makes it plausible, or None."""
        openers = (self.current, *self._announced, *self._previous)
        for read in (_as_it_is, written_over_untrusted):
            for opener in openers:
                for frame in read(opener, datagram):
                    if judge(frame):
                        if opener in self._announced:
                            self._prove(opener, now)
                        return frame
        return None

    def _prove(self, opener: Opener, now: float) -> None:
        """Make a key the current one; those announced before it may have been used meanwhile."""
        place = self._announced.index(opener)
        self._previous = (self.current, *self._announced[:place])
        self._announced = self._announced[place + 1 :]
        self.current = opener
        self.use = KeyUse(KeyOrigin.PEER, now)


def open_full_untrusted(opener: Opener, datagram: bytes) -> FullFrame | None:
    """Decrypt and parse a full frame; None where either fails."""
    clear = opener.open_full(datagram)
    return None if clear is None else _parse(clear)


def frames_untrusted(opener: Opener, datagram: bytes) -> Iterator[FullFrame]:
    """Give what a full frame can be under a key; what is likely comes first."""
    yield from _as_it_is(opener, datagram)
    yield from written_over_untrusted(opener, datagram)


def _as_it_is(opener: Opener, datagram: bytes) -> Iterator[FullFrame]:
    frame = open_full_untrusted(opener, datagram)
    if frame is not None:
        yield frame


def written_over_untrusted(opener: Opener, datagram: bytes) -> Iterator[FullFrame]:
    """Give what a retransmission can be whose iseqno was written over its encrypted octets.

    An Asterisk that calls with RSA forgets that what waits for its acknowledgement is encrypted.
    That spoils the first block, whose last octet tells how long the padding is, and the 22nd octet
    of all. Frames without data, voice, RTKEY and PONG have longer padding: nothing is lost.

    Source: Asterisk chan_iax2, update_packet(), as seen of 16.28 and 22.10.
    """
    if len(datagram) < FULL_CLEAR_OCTETS or not datagram[2] & _RETRANSMISSION:
        return
    plain = opener.open_padding(datagram)
    for padding_octets in _LONG_PADDINGS:
        frame = _parse(datagram[:FULL_CLEAR_OCTETS] + plain[padding_octets:])
        if frame is not None and is_known(frame) and _is_whole(frame):
            yield frame


def _is_whole(frame: FullFrame) -> bool:
    """Tell whether what follows the header can belong to it, so that its place is the right one."""
    if frame.frame_type == FrameType.CONTROL:
        return True
    if frame.frame_type != FrameType.IAX:
        return bool(frame.data) is (frame.frame_type in _WITH_DATA)
    try:
        parse_elements_untrusted(frame.data)
    except FrameError:
        return False
    return True


def _parse(clear: bytes) -> FullFrame | None:
    try:
        frame = parse_frame_untrusted(clear)
    except FrameError:
        return None
    return frame if isinstance(frame, FullFrame) else None
