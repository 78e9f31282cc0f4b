"""Opens the encrypted frames of one call: keys of both sides, their rotation, what is plausible.

Source: RFC 5456 section 10, and Asterisk's chan_iax2 for RTKEY.
"""

from collections.abc import Iterator
from typing import Final

from bridge.audit.wire import Kind, read_datagram
from bridge.iax2.auth import derive_key, equal
from bridge.iax2.cipher import KEY_OCTETS, Opener
from bridge.iax2.constants import DTMF_DIGITS, ElementType, FrameType, IaxSubclass
from bridge.iax2.elements import parse_elements_untrusted
from bridge.iax2.errors import FrameError
from bridge.iax2.frames import FullFrame, parse_frame_untrusted
from bridge.iax2.keys import written_over_untrusted
from bridge.iax2.plausibility import is_echo

_KEYS_KEPT: Final = 3
"""A side's newest keys: frames under an older one may still be on their way."""
_TIME_MASK: Final = 0xFFFF
_MINI_NEAR_MS: Final = 4000
_FULL_NEAR_MS: Final = 60_000
_IAX: Final = frozenset(IaxSubclass)


def read_full(clear: bytes | None) -> FullFrame | None:
    """Return a full frame whose type, subclass and elements all make sense; None for others."""
    if clear is None:
        return None
    try:
        frame = parse_frame_untrusted(clear)
        if not isinstance(frame, FullFrame):
            return None
        if frame.frame_type == FrameType.IAX:
            parse_elements_untrusted(frame.data)
    except FrameError:
        return None
    return frame if _is_known(frame) else None


def _readings(opener: Opener, datagram: bytes) -> Iterator[tuple[bytes, FullFrame]]:
    """Give what a full frame can be under a key, in clear, what is likely first."""
    clear = opener.open_full(datagram)
    frame = read_full(clear)
    if clear is not None and frame is not None:
        yield clear, frame
    for spoilt in written_over_untrusted(opener, datagram):
        if read_full(spoilt.encode()) is not None:
            yield spoilt.encode(), spoilt


def _is_known(frame: FullFrame) -> bool:
    match frame.frame_type:
        case FrameType.IAX:
            return frame.subclass in _IAX
        case FrameType.DTMF_BEGIN | FrameType.DTMF_END:
            return 0 <= frame.subclass < 128 and chr(frame.subclass) in DTMF_DIGITS  # noqa: PLR2004
        case FrameType.VOICE | FrameType.VIDEO | FrameType.IMAGE:
            return frame.subclass > 0 and bool(frame.data)
        case FrameType.CONTROL:
            return -1 <= frame.subclass < 128  # noqa: PLR2004
        case FrameType.CNG | FrameType.NULL | FrameType.TEXT | FrameType.HTML:
            return True
    return False


def first_key(challenge: bytes, secrets: list[bytes], authrep: bytes) -> bytes | None:
    """Return the key under which an AUTHREP reads as one; None where all secrets are wrong.

    An MD5_RESULT must be the key itself, in hex; an RSA_RESULT is taken as it is.
    """
    for secret in secrets:
        key = derive_key(challenge, secret)
        if any(_proves(frame, key) for _, frame in _readings(Opener(key), authrep)):
            return key
    return None


def _proves(frame: FullFrame, key: bytes) -> bool:
    if (frame.frame_type, frame.subclass) != _AUTHREP:
        return False
    elements = parse_elements_untrusted(frame.data)
    result = elements.get(ElementType.MD5_RESULT)
    if result is None:
        return ElementType.RSA_RESULT in elements
    return equal(result.lower(), key.hex().encode())


_AUTHREP: Final = (FrameType.IAX, IaxSubclass.AUTHREP)


class SideOpener:
    """Opens what one side of a call sends."""

    def __init__(self, key: bytes) -> None:
        self._openers = [Opener(key)]
        self._audio_octets = 0
        self._voice_ms = 0
        self._timestamp_ms = 0
        self.rotations = 0

    def open(self, datagram: bytes) -> bytes | None:
        """Return a frame in clear; None where no key makes a plausible one of it."""
        return self._full(datagram) if datagram[0] & 0x80 else self._mini(datagram)

    def _full(self, datagram: bytes) -> bytes | None:
        readings = [
            reading
            for opener in self._openers
            for reading in _readings(opener, datagram)
            if self._apart_ms(reading[1]) <= _FULL_NEAR_MS
        ]
        if not readings:
            return None
        # Of a frame that was written over, an octet more or less may make sense by chance.
        clear, frame = min(readings, key=lambda reading: self._apart_ms(reading[1]))
        self._learn(frame)
        return clear

    def _apart_ms(self, frame: FullFrame) -> int:
        """How far its time is from what this side said last; of an ACK, PONG or LAGRP: unknown.

        These have the other side's time.
        """
        return _FULL_NEAR_MS if is_echo(frame) else abs(frame.timestamp_ms - self._timestamp_ms)

    def _learn(self, frame: FullFrame) -> None:
        if not is_echo(frame):
            self._timestamp_ms = max(self._timestamp_ms, frame.timestamp_ms)
        if frame.frame_type == FrameType.VOICE:
            self._audio_octets, self._voice_ms = len(frame.data), frame.timestamp_ms & _TIME_MASK
        if (frame.frame_type, frame.subclass) == (FrameType.IAX, IaxSubclass.RTKEY):
            key = parse_elements_untrusted(frame.data).get(ElementType.CHALLENGE)
            known = any(opener.key == key for opener in self._openers)
            if key is not None and len(key) == KEY_OCTETS and not known:
                self._openers = [Opener(key), *self._openers][:_KEYS_KEPT]
                self.rotations += 1

    def _mini(self, datagram: bytes) -> bytes | None:
        for opener in self._openers:
            clear = opener.open_mini(datagram)
            if clear is not None and self._is_plausible_audio(clear):
                timestamp_ms = int.from_bytes(clear[2:4], "big")
                ahead_ms = (timestamp_ms - self._voice_ms) & _TIME_MASK
                if ahead_ms < _MINI_NEAR_MS:
                    self._voice_ms = timestamp_ms
                    self._timestamp_ms += ahead_ms
                return clear
        return None

    def _is_plausible_audio(self, clear: bytes) -> bool:
        apart_ms = (int.from_bytes(clear[2:4], "big") - self._voice_ms) & _TIME_MASK
        near = min(apart_ms, 0x10000 - apart_ms) < _MINI_NEAR_MS
        return near and len(clear) - 4 == self._audio_octets


def is_clear(datagram: bytes) -> bool:
    """Tell whether a frame can be read without a key."""
    return read_datagram(datagram).kind is Kind.CLEAR
