"""The compiled twin of the hot path where it is installed, or Python alone.

relay.py is the reference and serves whatever is not plain. The twin (packaging/relay) relays the
plain packets between: it reads and writes the same objects, and hands back all else untouched.
Between voice of the link it takes plain ACKs, too, whose reference is `FrameChannel.take_ack`.
"""

import os
from collections.abc import Callable, Mapping
from functools import partial
from select import epoll
from typing import Any, Final, Protocol

from bridge.iax2.auth import Address
from bridge.iax2.cipher import Opener, Sealer
from bridge.iax2.clock import ReceiveClock
from bridge.iax2.frames import FullFrame
from bridge.iax2.reliability import Outstanding, ReliableSequence
from bridge.iax2.statistics import ChannelStatistics
from bridge.iax2.voice import VoicePath
from bridge.media.call_media import CallMedia
from bridge.media.counters import MediaCounters
from bridge.media.pacing import ReorderBuffer
from bridge.media.phone_stream import PhoneStream
from bridge.media.remote import SymmetricLatch
from bridge.media.rtcp import ReceptionStatistics

SWITCH: Final = "SIAX_COMPILED"
"""Set to 0 in the environment, it leaves the twin out."""

CLASSES: Final[Mapping[str, type]] = {
    known.__name__: known
    for known in (
        CallMedia,
        ChannelStatistics,
        FullFrame,
        MediaCounters,
        Opener,
        Outstanding,
        PhoneStream,
        ReceiveClock,
        ReceptionStatistics,
        ReliableSequence,
        ReorderBuffer,
        Sealer,
        SymmetricLatch,
        VoicePath,
    )
}
"""Whose slots the twin reads and writes."""

_EVENTS_MAX: Final = 1024

Packet = tuple[int, tuple[bytes, Address] | None]
"""A socket's descriptor; and the packet that was read from it and its source, unless it waits."""
LinkReader = Callable[[float, int], tuple[bytes, Address, int] | bool]
"""Relays what comes from the link within a limit of reads; gives what is not plain, one by one.

At the end it tells whether it has taken ACKs.
"""


class FastPath(Protocol):
    """What may take plain packets off the Python path."""

    name: str

    def read_phones(
        self, sockets: epoll, calls: Mapping[int, CallMedia], now: float
    ) -> list[Packet] | None:
        """Read a packet of each socket that has one; returns what is not done yet, if any came."""

    def seal_slot(
        self, calls: tuple[CallMedia, ...], slot: int
    ) -> tuple[list[bytes], tuple[CallMedia, ...] | list[CallMedia]]:
        """Return the datagrams of a slot, and the calls whose frame is not done yet."""

    def link_reader(
        self, descriptor: int, routes: Mapping[Address, Mapping[bytes, CallMedia]]
    ) -> LinkReader | None:
        """Return what reads the link's socket; None leaves it to Python."""


class PythonAlone:
    """No fast path: everything is left to relay.py."""

    def __init__(self, name: str = "Python") -> None:
        self.name = name

    def read_phones(
        self, sockets: epoll, _calls: Mapping[int, CallMedia], _now: float
    ) -> list[Packet] | None:
        """See FastPath."""
        ready = sockets.poll(0, _EVENTS_MAX)
        return [(descriptor, None) for descriptor, _ in ready] if ready else None

    def seal_slot(
        self, calls: tuple[CallMedia, ...], _slot: int
    ) -> tuple[list[bytes], tuple[CallMedia, ...]]:
        """See FastPath."""
        return [], calls

    def link_reader(self, _descriptor: int, _routes: object) -> None:
        """See FastPath."""


class Compiled:
    """The module siax_relay."""

    name = "compiled"

    def __init__(self, module: Any) -> None:  # noqa: ANN401 - a C extension has no types
        self._module = module
        self.configure(CLASSES)
        self.read_phones = module.read_phones
        self.seal_slot = module.seal_slot

    def configure(self, classes: Mapping[str, type]) -> None:
        """Tell the twin whose slots it reads and writes.

        Raises:
            AttributeError, TypeError: A class, or a slot of one, is not as it needs them.
        """
        self._module.configure(**classes)

    def link_reader(
        self, descriptor: int, routes: Mapping[Address, Mapping[bytes, CallMedia]]
    ) -> LinkReader:
        """See FastPath."""
        return partial(self._module.Link(descriptor).read, routes)


def fast_path() -> FastPath:
    """Return the twin where it is installed and not switched off."""
    if os.environ.get(SWITCH) == "0":
        return PythonAlone()
    try:
        import siax_relay  # noqa: PLC0415 - optional: built where a compiler is
    except ImportError:
        return PythonAlone()
    try:
        return Compiled(siax_relay)
    except (AttributeError, TypeError) as error:
        return PythonAlone(f"Python, for siax_relay is of another version ({error}): make setup")
