"""The demo's configuration is a shipped one, changed where it must be and nowhere else."""

import socket
import stat
from pathlib import Path

import pytest
import yaml

from bridge.config import HostPort
from bridge.demo import stage
from bridge.demo.stage import (
    EXAMPLE,
    HOST,
    DemoError,
    choose_sip_port,
    find_example,
    is_free,
    set_stage,
)

PEER = (HOST, 4570)


def test_a_stage(tmp_path: Path) -> None:
    found = set_stage(tmp_path, PEER, well_known_port=False)
    shipped = yaml.safe_load((find_example()).read_text())
    written = yaml.safe_load(found.path.read_text())
    assert written["dialplan"] == shipped["dialplan"]
    for key in ("username", "extension", "codecs", "dialing", "auth", "answer"):
        assert written["links"]["hq"][key] == shipped["links"]["hq"][key]
    assert found.link.peer == HostPort(*PEER)
    assert {url.host for url in found.configuration.sip.listen} == {HOST}
    assert found.configuration.iax.bind.host == HOST


def test_secrets_are_new_strong_and_private(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in "ab"]
    for folder in folders:
        folder.mkdir()
    first, second = (set_stage(folder, PEER, well_known_port=False) for folder in folders)
    assert first.secret != second.secret
    assert first.link.secret.strength.weakness is None
    assert first.secret not in repr(first)
    file = folders[0] / "secrets" / "hq"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_without_an_example(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(stage, "_EXAMPLE_FOLDERS", (tmp_path,))
    with pytest.raises(DemoError, match=f"configs/{EXAMPLE} is missing"):
        find_example()


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_a_port_that_somebody_has(kind: socket.SocketKind, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_INET, kind) as held:
        held.bind((HOST, 0))
        port = held.getsockname()[1]
        assert not is_free(port)
        monkeypatch.setattr(stage, "SIP_PORT", port)
        assert choose_sip_port(well_known=True) != port


def test_the_well_known_port_where_it_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    port = choose_sip_port(well_known=False)
    monkeypatch.setattr(stage, "SIP_PORT", port)
    assert choose_sip_port(well_known=True) == port


def test_no_port_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "is_free", lambda _port: False)
    with pytest.raises(DemoError, match="no port"):
        choose_sip_port(well_known=True)
