"""What survives a restart, and what becomes of a damaged file."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import trio

from bridge.sip.binding_store import FILE_NAME, BindingStore, StoreError, keep_stored
from bridge.sip.contacts import Flow
from bridge.sip.registrar import Binding, Registrar, RegistrarSettings
from bridge.state_folder import StateFolderError


def binding(user: str, expires_at: float, key: str = "sip:a@192.0.2.7") -> Binding:
    flow = Flow("TCP", "192.0.2.7", 40001, uses_rport=True)
    return Binding(user, key, key, flow, "call", 7, expires_at, 0.5)


def test_what_is_written_is_read_with_its_remaining_time(tmp_path: Path) -> None:
    store = BindingStore(tmp_path / "state")
    store.write({("alice", "sip:a@192.0.2.7"): binding("alice", 700.0)}, now=100.0)
    (read,) = BindingStore(tmp_path / "state").load(now=5000.0)
    assert read.expires_at == pytest.approx(5600.0, abs=2)
    assert read.is_restored
    assert (read.user, read.flow, read.cseq, read.q) == (
        "alice",
        Flow("TCP", "192.0.2.7", 40001, uses_rport=True),
        7,
        0.5,
    )
    assert read.target == "sip:a@192.0.2.7:5060;transport=tcp"


def test_what_is_gone_or_has_run_out_is_not_read(tmp_path: Path) -> None:
    store = BindingStore(tmp_path)
    store.write(
        {("alice", "k"): binding("alice", 700.0, "k"), ("bob", "k"): binding("bob", 99.0, "k")},
        100.0,
    )
    assert [read.user for read in store.load(0.0)] == ["alice"]
    store.write({("alice", "k"): None}, 100.0)
    assert store.load(0.0) == []


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    BindingStore(tmp_path / "state")
    assert (tmp_path / "state").stat().st_mode & 0o077 == 0
    assert (tmp_path / "state" / FILE_NAME).stat().st_mode & 0o077 == 0


def test_a_damaged_file_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"no database " * 1000)
    store = BindingStore(tmp_path)
    store.write({("alice", "k"): binding("alice", 700.0, "k")}, 100.0)
    assert len(store.load(0.0)) == 1
    assert (tmp_path / "registrations.damaged").exists()


def test_a_file_with_other_columns_is_set_aside(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as database:
        database.executescript("CREATE TABLE bindings (user TEXT); PRAGMA user_version = 1")
    assert BindingStore(tmp_path).load(0.0) == []
    assert (tmp_path / "registrations.damaged").exists()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StateFolderError, match="state_dir"):
        BindingStore(tmp_path / "file" / "state")


def test_a_folder_that_others_can_write_to(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(StateFolderError, match="chmod 700"):
        BindingStore(tmp_path)


def test_a_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).mkdir()
    (tmp_path / "registrations.damaged" / "full").mkdir(parents=True)
    with pytest.raises(StoreError, match="state_dir"):
        BindingStore(tmp_path)


async def test_changes_are_written_off_the_loops_thread_and_once_more_at_the_end(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    del autojump_clock
    store = BindingStore(tmp_path)
    registrar = Registrar(["alice"], RegistrarSettings(), trio.current_time)
    async with trio.open_nursery() as nursery:
        news = trio.lowlevel.ParkingLot()
        registrar.on_change = news.unpark_all
        nursery.start_soon(keep_stored, registrar, store, news)
        registrar.restore([binding("alice", trio.current_time() + 600)])
        with trio.fail_after(60):
            while not store.load(0.0):  # noqa: ASYNC110  # a thread writes it
                await trio.sleep(0.05)
        registrar.restore([binding("alice", trio.current_time() + 600, "sip:b@192.0.2.7")])
        nursery.cancel_scope.cancel()
    assert len(store.load(0.0)) == 2
