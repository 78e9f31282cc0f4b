"""The status socket: for its owner alone, bounded, and never the service's failure."""

import os
import socket
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import structlog.testing
import trio
import trio.testing

from bridge.net.clients import CLIENTS_MAX, DEADLINE_S
from bridge.net.status_socket import QUESTION_OCTETS_MAX, SOCKET_NAME, serve_status
from bridge.status.client import NotRunningError, WrongPlaceError, ask_status
from bridge.status.model import Status, StatusError, encode_status
from tests.lab.status_sample import STATUS

Clock = trio.testing.MockClock


async def echo(question: bytes) -> bytes:
    return b"answer to " + question


@asynccontextmanager
async def serving(
    folder: Path, answer: Callable[[bytes], Awaitable[bytes]] = echo
) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_status, folder, answer)
        await trio.testing.wait_all_tasks_blocked()
        yield
        nursery.cancel_scope.cancel()


async def connect(folder: Path) -> trio.SocketStream:
    return await trio.open_unix_socket(str(folder / SOCKET_NAME))


async def answer_of(stream: trio.SocketStream) -> bytes:
    octets = b""
    try:
        async for piece in stream:
            octets += piece
    except trio.BrokenResourceError:
        return octets + b"(broken)"
    return octets


async def test_one_question_one_answer(tmp_path: Path) -> None:
    async with serving(tmp_path), await connect(tmp_path) as stream:
        await stream.send_all(b"sta")
        await stream.send_all(b"tus\nand more")
        assert await answer_of(stream) == b"answer to status\n"


async def test_it_is_its_owners_alone_and_goes_with_the_service(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    async with serving(folder):
        assert stat.S_IMODE((folder / SOCKET_NAME).stat().st_mode) == 0o600
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert not list(folder.iterdir())


async def test_a_path_longer_than_a_sockets(tmp_path: Path) -> None:
    folder = tmp_path / ("long-" * 30) / "state"
    async with serving(folder, answer_status):
        assert await ask(folder) == STATUS


async def test_a_client_that_says_nothing_is_left(autojump_clock: Clock, tmp_path: Path) -> None:
    async with serving(tmp_path), await connect(tmp_path) as stream:
        started = autojump_clock.current_time()
        await stream.send_all(b"stat")
        assert await answer_of(stream) == b""
        assert autojump_clock.current_time() - started == pytest.approx(DEADLINE_S)


async def test_a_question_without_end_is_left(tmp_path: Path) -> None:
    async with serving(tmp_path), await connect(tmp_path) as stream:
        await stream.send_all(b"x" * (QUESTION_OCTETS_MAX + 1))
        assert await answer_of(stream) in {b"", b"(broken)"}


async def test_a_slow_reader_is_left(autojump_clock: Clock, tmp_path: Path) -> None:
    async def much(_question: bytes) -> bytes:
        return bytes(8 << 20)

    async with serving(tmp_path, much), await connect(tmp_path) as slow:
        await slow.send_all(b"status\n")
        await trio.sleep(DEADLINE_S + 1)
        assert len(await answer_of(slow)) < 8 << 20
        async with await connect(tmp_path) as quick:
            await quick.send_all(b"status\n")
            assert len(await answer_of(quick)) == (8 << 20) + 1
    assert autojump_clock.current_time() > DEADLINE_S


async def test_more_clients_than_are_taken(autojump_clock: Clock, tmp_path: Path) -> None:
    async with serving(tmp_path):
        idle = [await connect(tmp_path) for _ in range(CLIENTS_MAX)]
        await trio.testing.wait_all_tasks_blocked()
        async with await connect(tmp_path) as refused:
            assert await answer_of(refused) == b""
        await trio.sleep(DEADLINE_S + 1)
        async with await connect(tmp_path) as taken:
            await taken.send_all(b"status\n")
            assert await answer_of(taken) == b"answer to status\n"
        for stream in idle:
            await stream.aclose()
    assert autojump_clock.current_time() > DEADLINE_S


async def test_an_answer_that_fails_costs_that_answer(tmp_path: Path) -> None:
    failing = [RuntimeError("a bug")]

    async def answer(question: bytes) -> bytes:
        if failing:
            raise failing.pop()
        return await echo(question)

    with structlog.testing.capture_logs() as logs:
        async with serving(tmp_path, answer):
            for expected in (b"", b"answer to status\n"):
                async with await connect(tmp_path) as stream:
                    await stream.send_all(b"status\n")
                    assert await answer_of(stream) == expected
    assert [entry["event"] for entry in logs] == ["a client could not be answered"]


async def why_not(folder: Path) -> str:
    """Serve where that cannot be: it returns by itself, and says why."""
    with structlog.testing.capture_logs() as logs, trio.fail_after(5):
        await serve_status(folder, echo)
    (entry,) = logs
    assert (entry["event"], entry["log_level"]) == ("no status socket", "error")
    return str(entry["why"])


async def test_a_second_service_leaves_the_first_one_its_socket(tmp_path: Path) -> None:
    async with serving(tmp_path):
        assert await why_not(tmp_path) == "another service uses this state_dir"
        async with await connect(tmp_path) as stream:
            await stream.send_all(b"status\n")
            assert await answer_of(stream) == b"answer to status\n"


async def test_what_a_killed_service_left_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as killed:
        killed.bind(str(tmp_path / SOCKET_NAME))
    async with serving(tmp_path), await connect(tmp_path) as stream:
        await stream.send_all(b"status\n")
        assert await answer_of(stream) == b"answer to status\n"


async def test_a_file_in_its_place_stays(tmp_path: Path) -> None:
    (tmp_path / SOCKET_NAME).write_text("precious")
    assert await why_not(tmp_path) == "status.sock is there and no socket"
    assert (tmp_path / SOCKET_NAME).read_text() == "precious"


async def test_a_folder_that_others_write_to(tmp_path: Path) -> None:
    await trio.Path(tmp_path).chmod(0o777)
    assert "others can write" in await why_not(tmp_path)


async def test_an_error_of_ours_ends_the_socket_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(os, "fchmod", fail)
    with structlog.testing.capture_logs() as logs, trio.fail_after(5):
        await serve_status(tmp_path, echo)
    assert [entry["event"] for entry in logs] == ["the status socket failed"]


# What asks


async def answer_status(question: bytes) -> bytes:
    assert question == b"status"
    return encode_status(STATUS)


async def ask(folder: Path) -> Status:
    return await trio.to_thread.run_sync(ask_status, folder)


async def test_a_service_is_asked(tmp_path: Path) -> None:
    async with serving(tmp_path, answer_status):
        assert await ask(tmp_path) == STATUS


async def test_an_answer_of_another_version(tmp_path: Path) -> None:
    async with serving(tmp_path, echo):
        with pytest.raises(StatusError, match="none of this version"):
            await ask(tmp_path)


async def test_an_answer_that_breaks_off(tmp_path: Path) -> None:
    async def fail(_question: bytes) -> bytes:
        raise RuntimeError("a bug")

    with structlog.testing.capture_logs():
        async with serving(tmp_path, fail):
            with pytest.raises(NotRunningError, match="broke off its answer"):
                await ask(tmp_path)


def test_a_service_that_ended_without_a_goodbye(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as killed:
        killed.bind(str(tmp_path / SOCKET_NAME))
    with pytest.raises(NotRunningError, match="is not running"):
        ask_status(tmp_path)


def test_a_service_that_is_stuck(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.status.client.TIMEOUT_S", 0.01)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stuck:
        stuck.bind(str(tmp_path / SOCKET_NAME))
        stuck.listen()
        with pytest.raises(NotRunningError, match="does not answer"):
            ask_status(tmp_path)


def test_wrong_places(tmp_path: Path) -> None:
    with pytest.raises(WrongPlaceError, match="no service is running with state_dir"):
        ask_status(tmp_path)
    with pytest.raises(WrongPlaceError, match="there is no folder"):
        ask_status(tmp_path / "missing")
    (tmp_path / "file").write_text("")
    with pytest.raises(WrongPlaceError, match="is no folder"):
        ask_status(tmp_path / "file")


def test_a_folder_of_somebody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(WrongPlaceError, match="ask as the service's user"):
        ask_status(tmp_path)
