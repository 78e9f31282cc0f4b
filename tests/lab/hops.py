"""Where the phone's marked frames got lost on their way to the far end and back, hop by hop.

The proxy's datagrams are decrypted with the link's secret by the second implementation of
tests/vectors, so that each frame is told apart at each place.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from bridge.iax2.constants import ElementType, FrameType, IaxSubclass
from bridge.iax2.elements import parse_elements_untrusted
from bridge.iax2.errors import FrameError
from bridge.iax2.frames import FullFrame, parse_frame_untrusted
from tests.lab.capture import Datagram
from tests.lab.phone_audio import PhoneAudio
from tests.lab.proxy import LinkProxy
from tests.vectors.reference import reference_decrypt, reference_key

_AUTHREQ = (FrameType.IAX, IaxSubclass.AUTHREQ)
_VOICE_OCTETS = {194: 2, 196: 4}
"""Sizes of encrypted voice: of mini and full frames, and how many octets of each are clear."""
_BEFORE_VOICE_OCTETS = {194: 2, 196: 8}
"""What stands before the voice once it is decrypted: the rest of the header."""


@dataclass(frozen=True, slots=True)
class Hops:
    """How many of the marked frames were there at each place.

    The frames are those from the first that came back to the last but some, as in EchoReport.
    """

    sent: int
    left_bridge: int
    reached_far_end: int
    left_far_end: int
    reached_bridge: int
    heard: int

    def lost(self) -> dict[str, int]:
        """How many got lost where; the sum is all that did not come back."""
        return {
            "phone_to_link": self.sent - self.left_bridge,
            "link_there": self.left_bridge - self.reached_far_end,
            "far_end": self.reached_far_end - self.left_far_end,
            "link_back": self.left_far_end - self.reached_bridge,
            "link_to_phone": self.reached_bridge - self.heard,
        }


def trace_hops(audio: PhoneAudio, link: LinkProxy, secret: str) -> Hops:
    """Follow each marked frame of a call through the link and back."""
    places: dict[str, set[int]] = {"out": set(), "at far end": set(), "in": set(), "back": set()}
    for index, number, outward in _marked(audio, link, secret):
        places["out" if outward else "in"].add(number)
        if index not in link.lost:
            places["at far end" if outward else "back"].add(number)
    window = audio.echo_window()
    out, there, into, back = (len(found.intersection(window)) for found in places.values())
    return Hops(len(window), out, there, into, back, len(window) - audio.echo_report().lost)


def _marked(audio: PhoneAudio, link: LinkProxy, secret: str) -> Iterator[tuple[int, int, bool]]:
    """Give each datagram of marked voice: its place, the frame's number, whether it goes out."""
    keys = [reference_key(challenge, secret.encode()) for challenge in _challenges(link.datagrams)]
    for index, datagram in enumerate(link.datagrams):
        start = _VOICE_OCTETS.get(len(datagram.payload))
        if start is None:
            continue
        for key in keys:
            _, body = reference_decrypt(key, datagram.payload[start:])
            number = audio.number_of(body[_BEFORE_VOICE_OCTETS[len(datagram.payload)] :])
            if number is not None:
                yield index, number, datagram.destination == link.address


def _challenges(datagrams: list[Datagram]) -> set[bytes]:
    """Return what the far end asked; what only looks like it does no harm."""
    found = set()
    for datagram in datagrams:
        with suppress(FrameError):
            frame = parse_frame_untrusted(datagram.payload)
            if isinstance(frame, FullFrame) and (frame.frame_type, frame.subclass) == _AUTHREQ:
                challenge = parse_elements_untrusted(frame.data).get(ElementType.CHALLENGE)
                found.add(challenge or b"")
    return found
