"""The status socket: a Unix socket in the state folder that answers its owner, one line each way.

A question is one line, the answer one line and the end. Whatever fails here is logged and stays
here: the service goes on without it. Must not know what is asked or answered.
"""

import os
import socket
import stat
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final

import structlog
import trio

from bridge.net.clients import (
    CLIENTS_MAX,
    DEADLINE_S,
    read_question,
    send_answer,
    serve_clients,
)
from bridge.state_folder import StateFolderError, prepare_state_folder

SOCKET_NAME: Final = "status.sock"
QUESTION_OCTETS_MAX: Final = 256

_MODE: Final = 0o600
_log = structlog.get_logger(__name__)

Answer = Callable[[bytes], Awaitable[bytes]]
"""Makes the answer to a question; both without their line end."""


async def serve_status(folder: Path, answer: Answer) -> None:
    """Answer until cancelled; where that cannot be, say so in the log and return.

    Args:
        folder: The state folder, made where it is not there. The socket is for its owner alone.
        answer: Makes the answers.
    """
    try:
        with open_status_socket(prepare_state_folder(folder)) as listening:
            await serve_clients(listening, partial(_answer_one, answer))
    except StateFolderError as error:
        _log.error("no status socket", why=str(error))
    except OSError as error:
        _log.error("no status socket", folder=str(folder), why=error.strerror or str(error))
    except Exception:  # noqa: BLE001 - whatever it was, calls do not depend on it
        _log.exception("the status socket failed")


@contextmanager
def open_status_socket(folder: Path) -> Iterator[socket.socket]:
    """Bind the socket with mode 600; it is removed at the end.

    Raises:
        OSError: it cannot be bound, or another service answers there.
    """
    opened = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    # Through the descriptor, since a path of a socket may not exceed 107 octets.
    place = Path(f"/proc/self/fd/{opened}") / SOCKET_NAME
    try:
        _remove_leftover(place)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
            # Its file gets this mode at once, with no moment in which others could connect.
            os.fchmod(listening.fileno(), _MODE)
            listening.bind(str(place))
            try:
                listening.listen(CLIENTS_MAX)
                yield listening
            finally:
                with suppress(OSError):
                    place.unlink()
    finally:
        os.close(opened)


def _remove_leftover(place: Path) -> None:
    """Remove the socket of a service that was killed."""
    try:
        if not stat.S_ISSOCK(place.lstat().st_mode):
            raise FileExistsError(f"{SOCKET_NAME} is there and no socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(DEADLINE_S)
        try:
            probe.connect(str(place))
        except ConnectionRefusedError:
            place.unlink()
            return
    raise OSError("another service uses this state_dir")


async def _answer_one(answer: Answer, stream: trio.SocketStream) -> None:
    question = await read_question(stream, b"\n", QUESTION_OCTETS_MAX)
    if question is not None:
        await send_answer(stream, await answer(question) + b"\n")
