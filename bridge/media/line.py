"""What a phone's audio is connected with: the voice of a link's call, or another phone."""

from typing import Protocol

from bridge.iax2.auth import Address
from bridge.iax2.constants import Format


class VoiceLine(Protocol):
    """The far side of a call's media; `VoicePath` is one."""

    @property
    def format(self) -> Format:
        """The codec of both directions."""

    @property
    def frame_octets(self) -> int:
        """Size of a frame of 20 ms."""

    @property
    def route(self) -> tuple[Address, bytes]:
        """What datagrams that come from it begin with, and where from."""

    def seal(self, payload: bytes, timestamp_ms: int) -> bytes | None:
        """Return the datagram for a frame; None: it goes as a full one."""

    def open(self, datagram: bytes, now: float) -> tuple[int, bytes] | None:
        """Return timestamp_ms and payload of a datagram, None where it is not believed."""

    def elapsed_ms(self, now: float) -> int:
        """Return the time since its beginning."""
