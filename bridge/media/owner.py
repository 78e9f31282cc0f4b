"""What a call's media needs of the relay that it is in."""

from typing import TYPE_CHECKING, Protocol

from bridge.media.line import VoiceLine

if TYPE_CHECKING:
    from bridge.media.call_media import CallMedia


class Owner(Protocol):
    """What a call needs of its relay."""

    def connect(self, media: "CallMedia", path: VoiceLine, now: float) -> int:
        """Give the call its place in a batch; returns the slot of its phase that has begun."""

    def slot_from(self, media: "CallMedia", when: float) -> float:
        """Return when the call's first slot begins that does not begin before `when`."""

    def settle_at(self, media: "CallMedia", when: float) -> None:
        """Move the call, at that time, to a phase close behind its phone's packets."""

    def speak(self, media: "CallMedia", now: float) -> None:
        """Call `media.speak` in each slot from now on, until it speaks no more."""

    def to_phone(self, media: "CallMedia", timestamp_ms: int, payload: bytes, now: float) -> None:
        """Relay a frame of the link."""

    def forget(self, media: "CallMedia") -> None:
        """Take the call from clock, routes and sockets."""
