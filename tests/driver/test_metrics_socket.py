"""/metrics over HTTP: what it answers and refuses, and that it is never the service's failure."""

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import structlog.testing
import trio
import trio.testing

from bridge.net.clients import DEADLINE_S
from bridge.net.metrics_socket import REQUEST_OCTETS_MAX, serve_metrics


async def some() -> bytes:
    return b"siax_up 1\n"


@asynccontextmanager
async def serving(
    figures: Callable[[], Awaitable[bytes]] = some, host: str = "127.0.0.1"
) -> AsyncIterator[Callable[[bytes], Awaitable[bytes]]]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as probe:
        port = probe.getsockname()[1]

    async def ask(request: bytes) -> bytes:
        answer = b""
        async with await trio.open_tcp_stream(host, port) as stream:
            await stream.send_all(request)
            async for piece in stream:
                answer += piece
        return answer

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_metrics, host, port, figures)
        await trio.testing.wait_all_tasks_blocked()
        yield ask
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("target", [b"/metrics", b"/metrics?x=1"])
async def test_figures(host: str, target: bytes) -> None:
    async with serving(host=host) as ask:
        answer = await ask(b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 200 OK"
    assert b"Content-Length: 10" in lines
    assert b"Connection: close" in lines
    assert body == b"siax_up 1\n"


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET / HTTP/1.1", b"404 Not Found"),
        (b"POST /metrics HTTP/1.1", b"405 Method Not Allowed"),
        (b"GET /metrics HTTP/2.0", b"400 Bad Request"),
        (b"GET /metrics", b"400 Bad Request"),
        (b"\x16\x03\x01", b"400 Bad Request"),
        (b"", b"400 Bad Request"),
    ],
)
async def test_what_is_refused(request_line: bytes, status: bytes) -> None:
    async with serving() as ask:
        answer = await ask(request_line + b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 " + status + b"\r\n")


async def test_a_head_without_end_is_left() -> None:
    async with serving() as ask:
        with pytest.raises(trio.BrokenResourceError):  # reset, for what it sent was never read
            await ask(b"GET /metrics HTTP/1.1\r\n" + b"x" * (4 * REQUEST_OCTETS_MAX))
        assert (await ask(b"GET /metrics HTTP/1.1\r\n\r\n")).endswith(b"siax_up 1\n")


async def test_a_client_that_says_nothing_is_left(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with serving() as ask:
        assert await ask(b"GET") == b""
    assert autojump_clock.current_time() >= DEADLINE_S


async def test_figures_that_fail_cost_that_answer() -> None:
    async def fail() -> bytes:
        raise RuntimeError("a bug")

    with structlog.testing.capture_logs() as logs:
        async with serving(fail) as ask:
            assert await ask(b"GET /metrics HTTP/1.1\r\n\r\n") == b""
            assert (await ask(b"GET / HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 404")
    assert [entry["event"] for entry in logs] == ["a client could not be answered"]


async def test_a_port_that_is_taken_is_told() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        structlog.testing.capture_logs() as logs,
        trio.fail_after(5),
    ):
        await serve_metrics("127.0.0.1", taken.getsockname()[1], some)
    assert [(entry["event"], entry["why"]) for entry in logs] == [
        ("no metrics", "Address already in use")
    ]


async def test_an_error_of_ours_ends_the_metrics_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("bridge.net.metrics_socket.serve_clients", fail)
    with structlog.testing.capture_logs() as logs, trio.fail_after(5):
        await serve_metrics("127.0.0.1", 0, some)
    assert [entry["event"] for entry in logs] == ["the metrics failed"]
