"""Answers GET /metrics over HTTP, for Prometheus; of HTTP/1.1 just as much as that needs.

RFC 9112: one request a connection, `Connection: close`. Whatever fails here stays here.
"""

import socket
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import structlog
import trio

from bridge.net.clients import (
    CLIENTS_MAX,
    read_question,
    send_answer,
    serve_clients,
)

REQUEST_OCTETS_MAX: Final = 8192
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_log = structlog.get_logger(__name__)

Figures = Callable[[], Awaitable[bytes]]
"""Makes the answer, in the text format of Prometheus."""


async def serve_metrics(host: str, port: int, figures: Figures) -> None:
    """Answer until cancelled; where that cannot be, say so in the log and return.

    Args:
        host: An IP address of this machine.
        port: TCP port.
        figures: Makes the answers.
    """
    try:
        with _open(host, port) as listening:
            await serve_clients(listening, partial(_answer_one, figures))
    except OSError as error:
        _log.error("no metrics", host=host, port=port, why=error.strerror)
    except Exception:  # noqa: BLE001 - whatever it was, calls do not depend on it
        _log.exception("the metrics failed")


def _open(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(CLIENTS_MAX)
    except OSError:
        listening.close()
        raise
    return listening


async def _answer_one(figures: Figures, stream: trio.SocketStream) -> None:
    request = await read_question(stream, b"\r\n\r\n", REQUEST_OCTETS_MAX)
    if request is None:
        return
    status, body = "200 OK", b""
    match request.split(b"\r\n", 1)[0].split(b" "):
        case [b"GET", target, version] if version.startswith(b"HTTP/1."):
            if target.partition(b"?")[0] == b"/metrics":
                body = await figures()
            else:
                status, body = "404 Not Found", b"try /metrics\n"
        case [_, _, version] if version.startswith(b"HTTP/1."):
            status = "405 Method Not Allowed\r\nAllow: GET"
        case _:
            status = "400 Bad Request"
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {CONTENT_TYPE}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    await send_answer(stream, head.encode() + body)
