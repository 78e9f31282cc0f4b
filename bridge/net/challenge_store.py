"""The challenges that links have answered, kept on disk: a replayed one makes an old key again.

Read at the start, written by a thread behind the calls. Where that fails no call is placed: what
cannot be remembered must not be answered. Must not know links but by name.

A file holds a mark, the key of the hashes, and 8 octets for each challenge, oldest first.
"""

import fcntl
import os
import secrets
from pathlib import Path
from typing import Final

import structlog
import trio

from bridge.errors import BridgeError
from bridge.iax2 import ChallengeMemory
from bridge.iax2.auth import CHALLENGES_REMEMBERED, MEMORY_HASH_OCTETS, MEMORY_KEY_OCTETS

RETRY_S: Final = 5.0
GATHER_S: Final = 0.25
"""Between two writes, each of which wakes a thread and waits for the disk."""
UNWRITTEN_MAX: Final = 4096
"""So many challenges may wait for a disk that is slow; then no call is placed any more."""

_MARK: Final = b"siaxchl1"
_HEADER_OCTETS: Final = len(_MARK) + MEMORY_KEY_OCTETS
_KEPT_OCTETS: Final = CHALLENGES_REMEMBERED * MEMORY_HASH_OCTETS
_FILE_OCTETS_MAX: Final = _HEADER_OCTETS + 2 * _KEPT_OCTETS
_OTHERS: Final = 0o077

_log = structlog.get_logger(__name__)


class ChallengeStoreError(BridgeError):
    """The folder cannot be used; the text says what to do."""


class ChallengeStore:
    """One file for each link in a folder that is this process's alone.

    Args:
        folder: Made with mode 700 where it is missing.

    Attributes:
        failure: Why challenges cannot be remembered now, None where they can.

    Raises:
        ChallengeStoreError: the folder cannot be made or locked, or others may enter it.
    """

    def __init__(self, folder: Path) -> None:
        self.failure: str | None = None
        self._folder = folder
        self._files: dict[str, _ChallengeFile] = {}
        self._unwritten: dict[str, list[bytes]] = {}
        self._news = trio.Event()
        self._lock = _lock(folder)

    def memory(self, link: str) -> ChallengeMemory:
        """Return a link's memory with all that it held before. Blocks on the disk.

        Raises:
            ChallengeStoreError: its file cannot be read, or is damaged.
        """
        path = self._folder / link
        try:
            opened = self._files[link] = _ChallengeFile(path)
            key, digests = opened.read()
        except OSError as error:
            raise ChallengeStoreError(f"{path} cannot be used: {error.strerror}") from None
        return ChallengeMemory(
            secrets.token_bytes,
            key=key,
            digests=digests,
            remember=lambda digest: self._remember(link, digest),
        )

    async def run(self) -> None:
        """Write what is new, until cancelled, and then the rest."""
        try:
            while True:
                await self._news.wait()
                self._news = trio.Event()
                await self._write()
                if self.failure is not None:
                    self._news.set()
                await trio.sleep(GATHER_S if self.failure is None else RETRY_S)
        finally:
            with trio.CancelScope(shield=True):
                await self._write()

    def close(self) -> None:
        """Close the files and let go of the folder."""
        for file in self._files.values():
            file.close()
        os.close(self._lock)

    def _remember(self, link: str, digest: bytes) -> None:
        self._unwritten.setdefault(link, []).append(digest)
        if sum(map(len, self._unwritten.values())) > UNWRITTEN_MAX:
            self._fail("the disk is too slow")
        self._news.set()

    async def _write(self) -> None:
        for link in [link for link, digests in self._unwritten.items() if digests]:
            digests = self._unwritten[link]
            octets = b"".join(digests)
            try:
                await trio.to_thread.run_sync(self._files[link].append, octets)
            except OSError as error:
                self._fail(error.strerror or "the disk fails")
                return
            del digests[: len(octets) // MEMORY_HASH_OCTETS]
        if self.failure is not None:
            _log.info("challenges are remembered again")
            self.failure = None

    def _fail(self, why: str) -> None:
        if self.failure is None:
            _log.error("security: challenges cannot be remembered, no call is placed", why=why)
        self.failure = why


class _ChallengeFile:
    """A link's file; it is never longer than twice what is remembered, and a header."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._descriptor = _open(path)
        except FileNotFoundError:
            self._replace(_MARK + secrets.token_bytes(MEMORY_KEY_OCTETS))
        self._octets = os.fstat(self._descriptor).st_size

    def read(self) -> tuple[bytes, list[bytes]]:
        """Return the key of the hashes, and the newest hashes, oldest first.

        A write that was cut short leaves part of a hash, which the next one overwrites.
        """
        header = os.pread(self._descriptor, _HEADER_OCTETS, 0)
        if len(header) < _HEADER_OCTETS or not header.startswith(_MARK):
            raise ChallengeStoreError(
                f"{self._path} is damaged: the challenges in it are lost. Remove it to go on "
                "without them; whoever recorded old calls could then replay their challenges"
            )
        self._octets -= (self._octets - _HEADER_OCTETS) % MEMORY_HASH_OCTETS
        newest = self._newest()
        steps = range(0, len(newest), MEMORY_HASH_OCTETS)
        return header[len(_MARK) :], [newest[n : n + MEMORY_HASH_OCTETS] for n in steps]

    def append(self, digests: bytes) -> None:
        """Write hashes behind those that there are, down to the disk."""
        if self._octets + len(digests) > _FILE_OCTETS_MAX:
            self._replace(os.pread(self._descriptor, _HEADER_OCTETS, 0) + self._newest())
        _check_whole(os.pwrite(self._descriptor, digests, self._octets), digests)
        os.fsync(self._descriptor)
        self._octets += len(digests)

    def close(self) -> None:
        os.close(self._descriptor)

    def _newest(self) -> bytes:
        start = max(self._octets - _KEPT_OCTETS, _HEADER_OCTETS)
        return os.pread(self._descriptor, self._octets - start, start)

    def _replace(self, content: bytes) -> None:
        """Put a file in the place of the one that is there, whole or not at all."""
        new = self._path.with_name(f"{self._path.name}.new")
        descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            _check_whole(os.write(descriptor, content), content)
            os.fsync(descriptor)
            new.replace(self._path)
        except OSError:
            os.close(descriptor)
            raise
        before, self._descriptor = getattr(self, "_descriptor", None), descriptor
        if before is not None:
            os.close(before)
        self._octets = len(content)


def _check_whole(written: int, content: bytes) -> None:
    if written < len(content):
        raise OSError(0, "the disk is full")


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)


def _lock(folder: Path) -> int:
    """Make the folder where it is missing, and take it for this process."""
    try:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise ChallengeStoreError(
            f"{folder} cannot be made: {error.strerror}; set state_dir to a folder that siax may "
            "write to"
        ) from None
    why = _why_not_ours(descriptor)
    if why is not None:
        os.close(descriptor)
        raise ChallengeStoreError(f"{folder} {why}")
    return descriptor


def _why_not_ours(folder: int) -> str | None:
    """Take the folder for this process; return why that cannot be."""
    if os.fstat(folder).st_mode & _OTHERS:
        return "is open to others: chmod 700"
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return "is in use by another siax: give each its own state_dir"
    return None
