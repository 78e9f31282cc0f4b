"""Serves clients of a listening socket, few at a time, briefly, and at no risk to the service.

Owns the bounds: how many clients, how much they may send, how long they may take. What is said is
its users' affair.
"""

import socket
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
import trio

CLIENTS_MAX: Final = 8
DEADLINE_S: Final = 5.0
"""For a question to come, and again for its answer to be read."""

_PAUSE_S: Final = 1.0
_PIECE_OCTETS: Final = 1024
_log = structlog.get_logger(__name__)

Converse = Callable[[trio.SocketStream], Awaitable[None]]
"""Takes one client's question and answers it."""


async def serve_clients(listening: socket.socket, converse: Converse) -> None:
    """Serve until cancelled; whatever one client does or meets costs its own answer at most."""
    listening.setblocking(False)  # noqa: FBT003 - the socket module's own
    bound = trio.socket.from_stdlib_socket(listening)
    clients: set[trio.socket.SocketType] = set()
    async with trio.open_nursery() as nursery:
        while True:
            try:
                client, _ = await bound.accept()
            except OSError as error:
                _log.warning("a client could not be taken", why=error.strerror)
                await trio.sleep(_PAUSE_S)
                continue
            if len(clients) >= CLIENTS_MAX:
                client.close()
                continue
            clients.add(client)
            nursery.start_soon(_attend, client, clients, converse)


async def _attend(
    client: trio.socket.SocketType, clients: set[trio.socket.SocketType], converse: Converse
) -> None:
    try:
        with client:
            await converse(trio.SocketStream(client))
    except (OSError, trio.BrokenResourceError, trio.TooSlowError):
        return  # the client is gone, or as good as gone
    except Exception:  # noqa: BLE001 - whatever it was, calls do not depend on it
        _log.exception("a client could not be answered")
    finally:
        clients.discard(client)


async def read_question(stream: trio.SocketStream, end: bytes, octets_max: int) -> bytes | None:
    """Return what comes before `end`, None where it is too long or never ends.

    Raises:
        TooSlowError: it did not come in time.
    """
    question = b""
    with trio.fail_after(DEADLINE_S):
        while end not in question:
            more = await stream.receive_some(_PIECE_OCTETS)
            question += more
            if not more or len(question) > octets_max:
                return None
    return question.partition(end)[0]


async def send_answer(stream: trio.SocketStream, answer: bytes) -> None:
    """Send an answer.

    Raises:
        TooSlowError: it was not read in time.
    """
    with trio.fail_after(DEADLINE_S):
        await stream.send_all(answer)
