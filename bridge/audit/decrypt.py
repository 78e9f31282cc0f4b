"""Writes captured calls in clear: the same addresses, ports and times, every frame opened.

Reads the capture twice: first for the key of each call, then to open its frames. A call none of the
secrets fits is named and left out.
"""

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, Final

from bridge.audit.capture import PROGRESS_EVERY_PACKETS, CaptureError, CaptureReader, Progress
from bridge.audit.dialogs import Dialog, Dialogs
from bridge.audit.opening import SideOpener, first_key, is_clear
from bridge.audit.packets import Datagram, Peer, datagram_of, peer_text
from bridge.audit.wire import clear_frame
from bridge.audit.writer import PcapWriter
from bridge.iax2.constants import ElementType, FrameType, IaxSubclass
from bridge.iax2.elements import parse_elements_untrusted
from bridge.iax2.errors import FrameError

ENCRYPTED_CALLS_MAX: Final = 100_000
SECRETS_MAX: Final = 64
_TRIES_MAX: Final = 8
"""How many frames may come before the AUTHREP that proves a secret."""
_SECRET_FILE_MAX_OCTETS: Final = 65_536


@dataclass(slots=True)
class DecryptedCall:
    """What became of one encrypted call; `key` is None where no secret that was given fits."""

    dialog: Dialog
    key: bytes | None = field(default=None, repr=False)
    tried: int = 0
    written: int = 0
    left_out: int = 0
    rotations: int = 0

    @property
    def name(self) -> str:
        """How it is called toward the user."""
        dialog = self.dialog
        return (
            f"call {dialog.caller_number}/{dialog.callee_number} from {peer_text(dialog.caller)} to"
            f" {peer_text(dialog.callee)}"
        )


@dataclass(frozen=True, slots=True)
class Decrypted:
    """The outcome: encrypted calls, how many frames of dialogs in clear were copied, and notes."""

    calls: tuple[DecryptedCall, ...]
    clear_frames: int
    notes: tuple[str, ...]


def read_secrets(path: Path) -> list[bytes]:
    """Read secrets, one a line; spaces at the ends and empty lines do not count.

    Raises:
        CaptureError: The file cannot be read, has none, or too many.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_SECRET_FILE_MAX_OCTETS + 1)
    except OSError as error:
        raise CaptureError(f"cannot read {path}: {error.strerror}") from None
    secrets = [line.strip() for line in text.splitlines() if line.strip()]
    if not secrets or len(secrets) > SECRETS_MAX or len(text) > _SECRET_FILE_MAX_OCTETS:
        raise CaptureError(f"{path}: expected 1 to {SECRETS_MAX} secrets, one a line")
    return secrets


def decrypt_capture(
    capture: Path,
    secrets: list[bytes],
    output: Path,
    *,
    force: bool = False,
    progress: Progress = lambda _done, _of: None,
) -> Decrypted:
    """Write the calls of a capture in clear, into a new file that its owner alone can read.

    Raises:
        CaptureError: The capture cannot be read, or the output is there already or not writable.
    """
    if output.exists() and not force:
        raise CaptureError(f"{output} exists already: choose another name, or use --force")
    with CaptureReader(capture) as reader:
        calls = _find_keys(_datagrams(reader, progress, 0), secrets)
        try:
            descriptor, partial = tempfile.mkstemp(dir=output.parent, prefix=".siax-")
        except OSError as error:
            raise CaptureError(f"cannot write {output}: {error.strerror}") from None
        try:
            with os.fdopen(descriptor, "wb") as file:
                clear = _write(_datagrams(reader, progress, reader.size_octets), calls, file)
            Path(partial).replace(output)
        except OSError as error:
            raise CaptureError(f"cannot write {output}: {error.strerror}") from None
        finally:
            Path(partial).unlink(missing_ok=True)
    return Decrypted(tuple(calls.values()), clear, tuple(reader.notes))


def _datagrams(reader: CaptureReader, progress: Progress, done: int) -> Iterator[Datagram]:
    for count, packet in enumerate(reader):
        if count % PROGRESS_EVERY_PACKETS == 0:
            progress(done + reader.position_octets, 2 * reader.size_octets)
        datagram = datagram_of(packet)
        if datagram is not None:
            yield datagram


def _frames(datagrams: Iterator[Datagram], dialogs: Dialogs) -> Iterator[Datagram]:
    for datagram in datagrams:
        if datagram.octets and dialogs.is_iax2(datagram):
            yield from dialogs.split(datagram)


def _find_keys(datagrams: Iterator[Datagram], secrets: list[bytes]) -> dict[int, DecryptedCall]:
    """Return the calls that are encrypted, with their keys where a secret fits."""
    calls: dict[int, DecryptedCall] = {}
    challenges: dict[int, tuple[Peer, bytes]] = {}
    dialogs = Dialogs(evict=lambda dialog: challenges.pop(dialog.number, None))
    for datagram in _frames(datagrams, dialogs):
        dialog = dialogs.find(datagram)
        if dialog is None or not datagram.octets[0] & 0x80:
            continue
        if (challenge := _challenge(datagram.octets)) is not None:
            challenges[dialog.number] = (datagram.source, challenge)
        elif dialog.number in challenges and not is_clear(datagram.octets):
            source, challenge = challenges[dialog.number]
            call = calls.setdefault(dialog.number, DecryptedCall(dialog))
            if call.key is None and datagram.source != source and call.tried < _TRIES_MAX:
                call.key = first_key(challenge, secrets, datagram.octets)
                call.tried += 1
        if len(calls) > ENCRYPTED_CALLS_MAX:
            raise CaptureError("too many encrypted calls for one go: split the capture")
    return calls


def _challenge(octets: bytes) -> bytes | None:
    """Return the challenge of an AUTHREQ that asks for encryption; None for other frames."""
    if octets[10:12] != bytes((FrameType.IAX, IaxSubclass.AUTHREQ)):
        return None
    frame = clear_frame(octets)
    if frame is None:
        return None
    try:
        elements = parse_elements_untrusted(frame.data)
    except FrameError:
        return None
    return elements.get(ElementType.CHALLENGE) if ElementType.ENCRYPTION in elements else None


def _write(datagrams: Iterator[Datagram], calls: dict[int, DecryptedCall], file: BinaryIO) -> int:
    """Write all frames that are or were made clear; return how many are of dialogs in clear."""
    writer = PcapWriter(file)
    openers: dict[int, tuple[SideOpener, SideOpener]] = {}
    dialogs = Dialogs(evict=lambda dialog: openers.pop(dialog.number, None))
    copied = 0
    for datagram in _frames(datagrams, dialogs):
        dialog = dialogs.find(datagram)
        call = calls.get(dialog.number) if dialog is not None else None
        if dialog is not None and call is None and _is_copied(datagram):
            writer.write(datagram)
            copied += 1
        elif dialog is not None and call is not None and call.key is not None:
            if dialog.number not in openers:
                openers[dialog.number] = (SideOpener(call.key), SideOpener(call.key))
            side = openers[dialog.number][datagram.source != dialog.caller]
            _write_frame(writer, call, side, datagram)
    return copied


def _is_copied(datagram: Datagram) -> bool:
    return bool(datagram.octets) and (not datagram.octets[0] & 0x80 or is_clear(datagram.octets))


def _write_frame(
    writer: PcapWriter, call: DecryptedCall, side: SideOpener, datagram: Datagram
) -> None:
    octets = datagram.octets
    before = side.rotations
    clear = octets if octets[0] & 0x80 and is_clear(octets) else side.open(octets)
    if clear is None:
        call.left_out += 1
        return
    call.rotations += side.rotations - before
    call.written += 1
    writer.write(replace(datagram, octets=clear, original_octets=len(clear)))
