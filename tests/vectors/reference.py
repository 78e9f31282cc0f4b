"""The oracle: IAX2's encryption written down a second time, as plainly as it can be.

It owes nothing to bridge/iax2/cipher.py and auth.py, which are compared with it. It follows a
capture from the challenge on and knows which key each sender uses.

Source: IAX2.md of the project's research, RFC 5456 section 10 and Asterisk's chan_iax2.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC

from bridge.iax2.constants import ElementType, FrameType, IaxSubclass
from bridge.iax2.elements import InformationElements, parse_elements_untrusted
from bridge.iax2.frames import FullFrame, parse_frame_untrusted
from tests.vectors.capture import Capture, Datagram, read_capture


@dataclass(frozen=True, slots=True)
class OpenedFrame:
    """A captured frame in clear; `key` is None where it was in clear on the wire."""

    datagram: Datagram
    clear: bytes
    key: bytes | None = None
    padding: bytes = b""

    @property
    def frame(self) -> FullFrame | None:
        """The frame, or None where it is a mini frame."""
        frame = parse_frame_untrusted(self.clear)
        return frame if isinstance(frame, FullFrame) else None


def reference_decrypt(key: bytes, encrypted: bytes) -> tuple[bytes, bytes]:
    """Return padding and body."""
    decryptor = Cipher(AES(key), CBC(bytes(16))).decryptor()
    plain = decryptor.update(encrypted) + decryptor.finalize()
    padding_octets = 16 + plain[15] % 16
    return plain[:padding_octets], plain[padding_octets:]


def reference_encrypt(key: bytes, padding: bytes, body: bytes) -> bytes:
    """Return padding and body encrypted."""
    encryptor = Cipher(AES(key), CBC(bytes(16))).encryptor()
    return encryptor.update(padding + body) + encryptor.finalize()


def reference_key(challenge: bytes, secret: bytes) -> bytes:
    """Return the key of a call that starts with this challenge."""
    return hashlib.md5(challenge + secret).digest()


def clear_octets(datagram: bytes) -> int:
    """Return how many octets stay in clear: 4 of a full frame, 2 of a mini frame."""
    return 4 if datagram[0] >= 0x80 else 2


@cache
def open_capture(name: str) -> tuple[OpenedFrame, ...]:
    """Return all frames of a capture in clear, each side's under the key of its own secret."""
    capture = read_capture(name)
    keys = _CallKeys(capture)
    opened = []
    for datagram in capture.datagrams:
        with named(f"{name} frame {datagram.number}"):
            opened.append(keys.open(datagram))
    return tuple(opened)


@contextmanager
def named(frame: str) -> Iterator[None]:
    """Say in which frame of a capture a decoder failed."""
    try:
        yield
    except Exception as error:
        error.add_note(f"in {frame}")
        raise


class _CallKeys:
    """Which key each sender, a host and its call number, encrypts with."""

    def __init__(self, capture: Capture) -> None:
        self._secrets = capture.secrets
        self._key_of: dict[tuple[str, int], bytes] = {}

    def open(self, datagram: Datagram) -> OpenedFrame:
        source_call_number = int.from_bytes(datagram.octets[:2], "big") & 0x7FFF
        sender = (datagram.source, source_call_number)
        opened = self._decrypt(datagram, self._key_of.get(sender))
        frame = opened.frame
        if frame is not None and frame.frame_type == FrameType.IAX:
            self._learn(datagram, frame, parse_elements_untrusted(frame.data))
        return opened

    def _decrypt(self, datagram: Datagram, key: bytes | None) -> OpenedFrame:
        octets = datagram.octets
        start = clear_octets(octets)
        # A retransmitted AUTHREQ is in clear although the call has its key already.
        if key is None or (len(octets) - start) % 16:
            return OpenedFrame(datagram, octets)
        padding, body = reference_decrypt(key, octets[start:])
        return OpenedFrame(datagram, octets[:start] + body, key, padding)

    def _learn(self, datagram: Datagram, frame: FullFrame, elements: InformationElements) -> None:
        sender = (datagram.source, frame.source_call_number)
        receiver = (datagram.destination, frame.destination_call_number)
        challenge = elements.get(ElementType.CHALLENGE) or b""
        if frame.subclass == IaxSubclass.RTKEY:
            self._key_of[sender] = challenge
        if frame.subclass == IaxSubclass.AUTHREQ and ElementType.ENCRYPTION in elements:
            self._key_of[sender] = reference_key(challenge, self._secrets["callee"])
            self._key_of[receiver] = reference_key(challenge, self._secrets["caller"])
