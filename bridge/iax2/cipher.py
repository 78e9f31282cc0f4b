"""AES-128-CBC as IAX2 uses it: a key, a direction, and long-lived contexts that keep it fast.

Every frame is encrypted with an IV of zero. Building a context for each frame costs ten times
its encryption, so one context runs through all frames of a key and a direction. CBC then XORs the
last block of the frame before into the first block of this one. That first block is random
padding in which only one nibble means anything, so it is enough to mend that nibble:

    wire   clear octets | E(padding block) | E(more padding, body ...)
    fed    padding ^ chain in octet 15         chain: octet 15 of the block before
    read   D(first block) = padding, as with an IV of zero

A context is fragile: one input that is no multiple of the block would shift it for good. Sizes
are therefore checked before a context is touched. Knows nothing of what frames mean.

Source: Asterisk chan_iax2, encrypt_frame() and decrypt_frame().
"""

import os
from collections.abc import Callable
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC

Entropy = Callable[[int], bytes]
"""Returns that many random octets."""

KEY_OCTETS: Final = 16
BLOCK_OCTETS: Final = 16
RESERVE_OCTETS: Final = 4096
"""Padding of some hundred frames: a call of the system for each costs as much as its AES."""
FULL_CLEAR_OCTETS: Final = 4
MINI_CLEAR_OCTETS: Final = 2

_CBC_FROM_ZERO: Final = CBC(bytes(BLOCK_OCTETS))
_ENCRYPTED_MIN_OCTETS: Final = 2 * BLOCK_OCTETS
_LAST: Final = BLOCK_OCTETS - 1
_NIBBLE: Final = 0x0F
_RANDOM_BITS: Final = 0xF0


class Reserve:
    """Random octets for padding, fetched from the system many at a time; none is given twice."""

    __slots__ = ("_at", "_entropy", "_octets")

    def __init__(self, entropy: Entropy = os.urandom) -> None:
        self._entropy = entropy
        self._octets = b""
        self._at = 0

    def take(self, octets: int) -> bytes:
        """Return that many octets, at most RESERVE_OCTETS."""
        start = self._at
        self._at = end = start + octets
        if end > len(self._octets):
            self._octets = self._entropy(RESERVE_OCTETS)
            start, self._at = 0, octets
            end = octets
        return self._octets[start:end]


class Sealer:
    """Encrypts the frames of one direction of one call under one key.

    Attributes:
        key: For a compiled fast path, which keeps a context of its own in `compiled`.
    """

    __slots__ = ("_chain_octet", "_entropy", "_update", "compiled", "key")

    def __init__(self, key: bytes, entropy: Entropy = os.urandom) -> None:
        self.key = key
        self.compiled: object = None
        self._update = Cipher(AES(key), _CBC_FROM_ZERO).encryptor().update
        self._entropy = entropy
        self._chain_octet = 0

    def seal_full(self, frame: bytes) -> bytes:
        """Return the datagram of a full frame given in clear (at least 12 octets)."""
        return frame[:FULL_CLEAR_OCTETS] + self.encrypt(frame[FULL_CLEAR_OCTETS:])

    def seal_mini(self, frame: bytes) -> bytes:
        """Return the datagram of a mini frame given in clear (at least 4 octets)."""
        return frame[:MINI_CLEAR_OCTETS] + self.encrypt(frame[MINI_CLEAR_OCTETS:])

    def encrypt(self, body: bytes) -> bytes:
        """Return padding and body encrypted: a multiple of 16 octets, at least 32.

        The padding is fresh and random for each frame but for the nibble that tells its length,
        so that equal frames never look alike.
        """
        extra_octets = -len(body) & _NIBBLE
        padding = bytearray(self._entropy(BLOCK_OCTETS + extra_octets))
        padding[_LAST] = (padding[_LAST] & _RANDOM_BITS | extra_octets) ^ self._chain_octet
        padding += body
        encrypted = self._update(padding)
        self._chain_octet = encrypted[-1]
        return encrypted


class Opener:
    """Decrypts the frames of one direction of one call under one key.

    There is no MAC: nearly any garbage decrypts. Plausibility is judged by the caller.

    Attributes:
        key: For a compiled fast path, which keeps a context of its own in `compiled`.
    """

    __slots__ = ("_chain_octet", "_update", "compiled", "key")

    def __init__(self, key: bytes) -> None:
        self.key = key
        self.compiled: object = None
        self._update = Cipher(AES(key), _CBC_FROM_ZERO).decryptor().update
        self._chain_octet = 0

    def open_full(self, datagram: bytes) -> bytes | None:
        """Return a full frame in clear, or None where the size is that of no encrypted one."""
        body = self.decrypt(datagram[FULL_CLEAR_OCTETS:])
        return None if body is None else datagram[:FULL_CLEAR_OCTETS] + body

    def open_mini(self, datagram: bytes) -> bytes | None:
        """Return a mini frame in clear, or None where the size is that of no encrypted one."""
        body = self.decrypt(datagram[MINI_CLEAR_OCTETS:])
        return None if body is None else datagram[:MINI_CLEAR_OCTETS] + body

    def open_padding(self, datagram: bytes) -> bytes:
        """Return padding and body of a full frame whose padding may tell a wrong length."""
        encrypted = datagram[FULL_CLEAR_OCTETS:]
        if len(encrypted) < _ENCRYPTED_MIN_OCTETS or len(encrypted) % BLOCK_OCTETS:
            return b""
        self._chain_octet = encrypted[-1]
        return self._update(encrypted)

    def decrypt(self, encrypted: bytes) -> bytes | None:
        """Return the body behind the padding, or None for a size that cannot be."""
        if len(encrypted) < _ENCRYPTED_MIN_OCTETS or len(encrypted) % BLOCK_OCTETS:
            return None
        plain = self._update(encrypted)
        padding_octets = BLOCK_OCTETS + ((plain[_LAST] ^ self._chain_octet) & _NIBBLE)
        self._chain_octet = encrypted[-1]
        return plain[padding_octets:]


def encrypted_octets(body_octets: int) -> int:
    """Return the size of padding and body together."""
    return BLOCK_OCTETS + body_octets + (-body_octets & _NIBBLE)
