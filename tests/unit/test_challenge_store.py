"""Challenges on disk: across restarts, bounded, for one process, and never by halves."""

import errno
import os
from pathlib import Path

import pytest
import trio
import trio.lowlevel
import trio.testing

from bridge.iax2.auth import CHALLENGES_REMEMBERED, MEMORY_HASH_OCTETS, ChallengeMemory
from bridge.net.challenge_store import (
    GATHER_S,
    UNWRITTEN_MAX,
    ChallengeStore,
    ChallengeStoreError,
)

LINK = "hq"
HEADER_OCTETS = 24


async def remember(folder: Path, *challenges: bytes) -> list[bool]:
    """Let a process remember challenges and end; return which ones were new to it."""
    store = ChallengeStore(folder)
    memory = store.memory(LINK)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(store.run)
        new = [memory.is_new(challenge) for challenge in challenges]
        nursery.cancel_scope.cancel()
    assert store.failure is None
    store.close()
    return new


def numbered(count: int, first: int = 0) -> list[bytes]:
    return [b"%d" % number for number in range(first, first + count)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state" / "challenges"


async def test_challenges_are_remembered_across_restarts(folder: Path) -> None:
    assert await remember(folder, b"1", b"2") == [True, True]
    assert await remember(folder, b"2", b"3") == [False, True]
    assert await remember(folder, b"3", b"1", b"4") == [False, False, True]


async def test_what_is_new_is_written_while_the_bridge_runs(folder: Path) -> None:
    store = ChallengeStore(folder)
    memory = store.memory(LINK)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(store.run)
        assert memory.is_new(b"1")
        with trio.fail_after(5):
            while (folder / LINK).stat().st_size == HEADER_OCTETS:
                await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    store.close()


async def test_many_challenges_share_a_write(
    folder: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    written: list[int] = []
    pwrite, begun = os.pwrite, autojump_clock.current_time()

    def watched(descriptor: int, data: bytes, offset: int) -> int:
        written.append(len(data))
        return pwrite(descriptor, data, offset)

    monkeypatch.setattr(os, "pwrite", watched)
    store = ChallengeStore(folder)
    memory = store.memory(LINK)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(store.run)
        for challenge in numbered(100):
            memory.is_new(challenge)
            await trio.sleep(GATHER_S / 50)
        nursery.cancel_scope.cancel()
    store.close()
    assert autojump_clock.current_time() - begun < 3 * GATHER_S
    assert len(written) <= 4
    assert sum(written) == 100 * MEMORY_HASH_OCTETS


async def test_each_link_has_a_memory_of_its_own(folder: Path) -> None:
    store = ChallengeStore(folder)
    assert store.memory("hq").is_new(b"1")
    assert store.memory("lab").is_new(b"1")
    store.close()


async def test_only_the_owner_can_read_it_and_no_challenge_stands_in_it(folder: Path) -> None:
    await remember(folder, b"176120585")
    modes = [path.stat().st_mode & 0o777 for path in (folder.parent, folder, folder / LINK)]
    assert modes == [0o700, 0o700, 0o600]
    assert b"176120585" not in (folder / LINK).read_bytes()


async def test_the_newest_are_kept_and_the_file_stays_bounded(folder: Path) -> None:
    count = CHALLENGES_REMEMBERED
    for first in range(0, 4 * count, count // 2):
        await remember(folder, *numbered(count // 2, first))
        assert (folder / LINK).stat().st_size <= HEADER_OCTETS + 2 * 8 * count
    assert await remember(folder, *numbered(count, 3 * count)) == [False] * count
    assert await remember(folder, b"0") == [True]


async def test_a_write_that_was_cut_short_costs_nothing_else(folder: Path) -> None:
    await remember(folder, b"1")
    with (folder / LINK).open("ab") as file:
        file.write(b"cut")
    assert await remember(folder, b"1", b"2") == [False, True]
    assert await remember(folder, b"1", b"2") == [False, False]


@pytest.mark.parametrize("content", [b"", b"siaxchl1 too short", b"another file" * 10])
async def test_a_damaged_file_is_an_error_and_not_forgotten(folder: Path, content: bytes) -> None:
    await remember(folder, b"1")
    (folder / LINK).write_bytes(content)
    store = ChallengeStore(folder)
    with pytest.raises(ChallengeStoreError, match="damaged"):
        store.memory(LINK)
    store.close()


async def test_a_link_in_place_of_the_file_is_an_error(folder: Path) -> None:
    await remember(folder)
    (folder / LINK).rename(folder.parent / "elsewhere")
    (folder / LINK).symlink_to(folder.parent / "elsewhere")
    store = ChallengeStore(folder)
    with pytest.raises(ChallengeStoreError, match="cannot be used"):
        store.memory(LINK)
    store.close()


async def test_two_processes_cannot_share_it(folder: Path) -> None:
    store = ChallengeStore(folder)
    with pytest.raises(ChallengeStoreError, match="in use by another siax"):
        ChallengeStore(folder)
    store.close()
    ChallengeStore(folder).close()


def test_a_folder_that_others_may_enter_is_an_error(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True)
    folder.chmod(0o750)
    with pytest.raises(ChallengeStoreError, match="chmod 700"):
        ChallengeStore(folder)
    folder.chmod(0o700)
    ChallengeStore(folder).close()


async def test_a_folder_that_cannot_be_made_is_an_error(folder: Path) -> None:
    folder.parent.write_text("a file")
    with pytest.raises(ChallengeStoreError, match="set state_dir"):
        ChallengeStore(folder)


@pytest.mark.usefixtures("autojump_clock")
async def test_a_disk_that_fails_stops_calls_until_it_works_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ChallengeStore(folder)
    memory = store.memory(LINK)
    works, pwrite = [False], os.pwrite

    def failing(descriptor: int, data: bytes, offset: int) -> int:
        if works[0]:
            return pwrite(descriptor, data, offset)
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "pwrite", failing)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(store.run)
        memory.is_new(b"1")
        while store.failure is None:  # noqa: ASYNC110  a thread's
            await trio.sleep(0.1)
        assert store.failure == "Input/output error"
        works[0] = True
        while store.failure is not None:  # noqa: ASYNC110
            await trio.sleep(0.1)
        nursery.cancel_scope.cancel()
    store.close()
    assert await remember(folder, b"1") == [False]


async def test_a_full_disk_leaves_no_part_of_a_challenge(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ChallengeStore(folder)
    memory = store.memory(LINK)
    pwrite = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: pwrite(fd, data[:5], offset))
    assert memory.is_new(b"1")
    await store._write()
    assert store.failure == "the disk is full"
    monkeypatch.undo()
    await store._write()
    assert store.failure is None
    store.close()
    assert await remember(folder, b"1") == [False]


async def test_a_file_that_cannot_be_renewed_goes_on_as_it_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await remember(folder, *numbered(CHALLENGES_REMEMBERED))
    await remember(folder, *numbered(CHALLENGES_REMEMBERED, CHALLENGES_REMEMBERED))
    store = ChallengeStore(folder)
    assert store.memory(LINK).is_new(b"one more")
    with monkeypatch.context() as broken:
        broken.setattr(Path, "replace", _fails)
        await store._write()
    assert store.failure == "No space left on device"
    await store._write()
    assert store.failure is None
    store.close()
    assert await remember(folder, b"one more") == [False]


async def test_a_file_that_is_renewed_in_part_does_not_take_its_place(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await remember(folder, *numbered(CHALLENGES_REMEMBERED))
    await remember(folder, *numbered(CHALLENGES_REMEMBERED, CHALLENGES_REMEMBERED))
    store = ChallengeStore(folder)
    assert store.memory(LINK).is_new(b"one more")
    write = os.write
    with monkeypatch.context() as full:
        full.setattr(os, "write", lambda fd, data: write(fd, data[:100]))
        await store._write()
    assert store.failure == "the disk is full"
    await store._write()
    store.close()
    kept = [b"one more", *numbered(CHALLENGES_REMEMBERED - 1, CHALLENGES_REMEMBERED + 1)]
    assert not any(await remember(folder, *kept))


async def test_a_file_that_fails_does_not_fill_those_of_other_links(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ChallengeStore(folder)
    hq, lab = store.memory("hq"), store.memory("lab")
    hq.is_new(b"1")
    lab.is_new(b"2")
    with monkeypatch.context() as broken:
        broken.setattr(store._files["lab"], "append", _fails)
        for _ in range(3):
            await store._write()
    await store._write()
    assert store.failure is None
    store.close()
    assert (folder / "hq").stat().st_size == (folder / "lab").stat().st_size == HEADER_OCTETS + 8


async def test_a_disk_that_is_too_slow_stops_calls(folder: Path) -> None:
    store = ChallengeStore(folder)
    memory = store.memory(LINK)
    for challenge in numbered(UNWRITTEN_MAX):
        memory.is_new(challenge)
    assert store.failure is None
    memory.is_new(b"one more")
    assert store.failure == "the disk is too slow"
    store.close()


def test_a_memory_alone_writes_nothing(folder: Path) -> None:
    assert ChallengeMemory(bytes).is_new(b"1")
    assert not folder.exists()


def _fails(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")
