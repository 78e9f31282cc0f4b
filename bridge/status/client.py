"""Asks a running service over the socket in its state folder; blocks, bounded in time and size.

Knows the ways in which that fails, and says what to do.
"""

import os
import socket
import time
from pathlib import Path
from typing import Final

from bridge.net.status_socket import SOCKET_NAME
from bridge.status.model import Status, StatusError, decode_status

QUESTION: Final = b"status"
TIMEOUT_S: Final = 5.0
ANSWER_OCTETS_MAX: Final = 16 << 20
_PIECE_OCTETS: Final = 65_536


class NotRunningError(StatusError):
    """No service answers there."""


class WrongPlaceError(StatusError):
    """There is nothing to ask, or not for this user."""


def ask_status(folder: Path) -> Status:
    """Return what the service says whose state folder this is.

    Raises:
        WrongPlaceError: no such folder, no socket in it, or no permission.
        NotRunningError: the service has ended, or does not answer in time.
        StatusError: what answers is another version.
    """
    try:
        octets = _exchange(folder)
    except PermissionError:
        raise WrongPlaceError(
            f"no permission for {folder}: ask as the service's user, or as root"
        ) from None
    except FileNotFoundError:
        raise WrongPlaceError(_nothing_in(folder)) from None
    except NotADirectoryError:
        raise WrongPlaceError(f"{folder} is no folder") from None
    except TimeoutError:
        raise NotRunningError(f"the service of {folder} does not answer") from None
    except OSError as error:
        raise NotRunningError(
            f"the service of {folder} is not running ({error.strerror or error})"
        ) from None
    if not octets.endswith(b"\n"):
        raise NotRunningError(f"the service of {folder} broke off its answer: try again")
    return decode_status(octets)


def _nothing_in(folder: Path) -> str:
    if not folder.is_dir():
        return f"there is no folder {folder}: is it the state_dir of the service?"
    return (
        f"no service is running with state_dir {folder}. Under systemd it is often "
        "/var/lib/siax: give --state-dir"
    )


def _exchange(folder: Path) -> bytes:
    deadline = time.monotonic() + TIMEOUT_S
    opened = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
            asking.settimeout(TIMEOUT_S)
            # Through the descriptor, since a path of a socket may not exceed 107 octets.
            asking.connect(f"/proc/self/fd/{opened}/{SOCKET_NAME}")
            asking.sendall(QUESTION + b"\n")
            return _read_all(asking, deadline)
    finally:
        os.close(opened)


def _read_all(asking: socket.socket, deadline: float) -> bytes:
    octets = bytearray()
    while len(octets) <= ANSWER_OCTETS_MAX:
        asking.settimeout(max(deadline - time.monotonic(), 0.001))
        piece = asking.recv(_PIECE_OCTETS)
        if not piece:
            break
        octets += piece
    return bytes(octets)
