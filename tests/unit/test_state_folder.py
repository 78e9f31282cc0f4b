"""The state folder: made for us alone, and refused where others could put files into it."""

import os
from pathlib import Path

import pytest

from bridge.state_folder import StateFolderError, prepare_state_folder


def test_a_missing_folder_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    folder = prepare_state_folder(tmp_path / "var" / "state")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert prepare_state_folder(folder) == folder


def test_a_folder_of_somebodys_choice_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    assert prepare_state_folder(tmp_path).stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o1777])
def test_a_folder_that_others_can_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)
    with pytest.raises(StateFolderError, match=r"others can write to state_dir .*: chmod 700 it"):
        prepare_state_folder(tmp_path)


def test_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.write_text("")
    with pytest.raises(StateFolderError, match="cannot be made"):
        prepare_state_folder(path)


def test_a_folder_of_another_user_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(StateFolderError, match="belongs to another user"):
        prepare_state_folder(tmp_path)
