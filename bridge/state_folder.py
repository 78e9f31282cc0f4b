"""The folder of what must survive a restart, and of the status socket: nobody else's business.

Owns that it exists and whom it belongs to; what is in it is its users' affair.
"""

import os
import stat
from pathlib import Path
from typing import Final

from bridge.errors import BridgeError

FOLDER_MODE: Final = 0o700
_WRITABLE_BY_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH


class StateFolderError(BridgeError):
    """The folder cannot be used; the text says why and what to do."""


def prepare_state_folder(folder: Path) -> Path:
    """Make the folder with mode 700 where it is not there; returns it. Blocks on the disk.

    One that is there keeps its mode, for it may be a folder of somebody's choice; but others must
    not be able to put files into it.

    Raises:
        StateFolderError: it cannot be made, is no folder, not ours, or others can write to it.
    """
    try:
        folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        seen = folder.stat()
    except OSError as error:
        raise StateFolderError(f"state_dir {folder} cannot be made: {error.strerror}") from None
    if seen.st_uid != os.geteuid():
        raise StateFolderError(f"state_dir {folder} belongs to another user")
    if seen.st_mode & _WRITABLE_BY_OTHERS:
        raise StateFolderError(f"others can write to state_dir {folder}: chmod 700 it")
    return folder
