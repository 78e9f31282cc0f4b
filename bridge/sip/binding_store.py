"""What survives a restart of the registrar: one SQLite file, never touched on the loop's thread.

Registrations are soft: phones renew them. So a file that cannot be read is set aside, and one that
cannot be written costs a log line, never a call.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Final

import structlog
import trio

from bridge.errors import BridgeError
from bridge.sip.contacts import Flow
from bridge.sip.registrar import Binding, Key, Registrar
from bridge.state_folder import prepare_state_folder

FILE_NAME: Final = "registrations.sqlite"
COMMIT_EACH_S: Final = 0.25

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS bindings (
    user TEXT, key TEXT, uri TEXT, transport TEXT, host TEXT, port INTEGER, uses_rport INTEGER,
    call_id TEXT, cseq INTEGER, expires_at REAL, q REAL, PRIMARY KEY (user, key)
) WITHOUT ROWID
"""
_COLUMNS: Final = "user, key, uri, transport, host, port, uses_rport, call_id, cseq, expires_at, q"
_VERSION: Final = 1
_log = structlog.get_logger("sip")

Changes = Mapping[Key, Binding | None]


class StoreError(BridgeError):
    """The file cannot be used; the text names it."""


class BindingStore:
    """The file in `folder`, which is made if need be. All methods block: call them in a thread.

    Raises:
        StateFolderError: the folder cannot be made, or is not ours alone to write to.
        StoreError: the file cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        try:
            prepare_state_folder(folder)
            self._path.touch(mode=0o600)
            try:
                self._prepare()
            except sqlite3.DatabaseError:
                self._set_aside()
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"state_dir: {self._path} cannot be used: {error}") from None

    def _set_aside(self) -> None:
        self._path.replace(self._path.with_suffix(".damaged"))
        _log.warning("registrations unreadable, begun anew", file=str(self._path))
        self._path.touch(mode=0o600)
        self._prepare()

    def _prepare(self) -> None:
        with closing(self._connect()) as database, database:
            database.execute("PRAGMA journal_mode = WAL")
            if database.execute("PRAGMA user_version").fetchone() != (_VERSION,):
                database.execute("DROP TABLE IF EXISTS bindings")
            database.execute(_SCHEMA)
            database.execute(f"PRAGMA user_version = {_VERSION}")
            database.execute(f"SELECT {_COLUMNS} FROM bindings").fetchall()  # noqa: S608  a constant

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, timeout=5, check_same_thread=False)

    def load(self, now: float) -> list[Binding]:
        """Everything that has not run out, in the order of its expiry, as of `now`."""
        shift_s = now - time.time()
        with closing(self._connect()) as database:
            rows = database.execute(
                f"SELECT {_COLUMNS} FROM bindings WHERE expires_at > ? ORDER BY expires_at",  # noqa: S608  # a constant
                (time.time(),),
            ).fetchall()
        return [_binding(row, shift_s) for row in rows]

    def write(self, changes: Changes, now: float) -> None:
        """Make the file say what `changes` says, in one transaction; what has run out goes."""
        shift_s = time.time() - now
        gone = [key for key, binding in changes.items() if binding is None]
        kept = [_row(binding, shift_s) for binding in changes.values() if binding is not None]
        places = ", ".join("?" * len(_COLUMNS.split(", ")))
        with closing(self._connect()) as database, database:
            database.executemany("DELETE FROM bindings WHERE user = ? AND key = ?", gone)
            database.executemany(f"INSERT OR REPLACE INTO bindings VALUES ({places})", kept)  # noqa: S608  # question marks
            database.execute("DELETE FROM bindings WHERE expires_at <= ?", (time.time(),))


def _row(binding: Binding, shift_s: float) -> tuple[object, ...]:
    flow = binding.flow
    where = (flow.transport, flow.host, flow.port, flow.uses_rport)
    order = (binding.call_id, binding.cseq, binding.expires_at + shift_s, binding.q)
    return (binding.user, binding.key, binding.uri, *where, *order)


def _binding(
    row: tuple[str, str, str, str, str, int, int, str, int, float, float], shift_s: float
) -> Binding:
    user, key, uri, transport, host, port, has_rport, call_id, cseq, expires_at, q = row
    flow = Flow(transport, host, port, bool(has_rport))
    return Binding(user, key, uri, flow, call_id, cseq, expires_at + shift_s, q, is_restored=True)


async def keep_stored(
    registrar: Registrar, store: BindingStore, news: trio.lowlevel.ParkingLot
) -> None:
    """Write the registrar's changes within 250 ms, and once more when cancelled.

    `news` is unparked when there are some.
    """
    try:
        while True:
            if not registrar.changes:
                await news.park()
            await trio.sleep(COMMIT_EACH_S)
            await _flush(registrar, store)
    finally:
        with trio.CancelScope(shield=True):
            await _flush(registrar, store)


async def _flush(registrar: Registrar, store: BindingStore) -> None:
    changes, registrar.changes = registrar.changes, {}
    if not changes:
        return
    try:
        await trio.to_thread.run_sync(store.write, changes, trio.current_time())
    except sqlite3.Error as error:
        registrar.changes = {**changes, **registrar.changes}
        _log.error("registrations not written", error=type(error).__name__)
