"""What the set-up says and does when something is missing."""

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

PACKAGING = Path(__file__).resolve().parents[2] / "packaging"


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ModuleType]]:
    """The scripts import each other by bare names, which no other test should see."""
    monkeypatch.syspath_prepend(PACKAGING)
    yield importlib.import_module
    for name in ("cache", "environment", "machine", "progress"):
        sys.modules.pop(name, None)


def test_without_root_the_one_command_to_run_is_printed(
    load: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine, progress = load("machine"), load("progress")
    monkeypatch.setattr(machine.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(machine.shutil, "which", lambda name: f"/usr/bin/{name}")
    wanted = [
        machine.Requirement("there", lambda: True),
        machine.Requirement("swig", lambda: False),
        machine.Requirement("libssl-dev", lambda: False),
    ]
    with pytest.raises(progress.SetupError) as caught:
        machine.ensure(wanted, progress.Progress(tmp_path / "log"))
    command = "apt-get update && apt-get install -y --no-install-recommends swig libssl-dev"
    assert f"\nsudo sh -c '{command}'\n" in str(caught.value)


def test_without_apt_the_names_are_printed(
    load: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine, progress = load("machine"), load("progress")
    monkeypatch.setattr(machine.shutil, "which", lambda _name: None)
    wanted = [machine.Requirement("swig", lambda: False)]
    with pytest.raises(progress.SetupError, match="by their names in Debian: swig"):
        machine.ensure(wanted, progress.Progress(tmp_path / "log"))


def test_nothing_missing_says_nothing(
    load: Callable[[str], ModuleType], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machine, progress = load("machine"), load("progress")
    machine.ensure([machine.Requirement("x", lambda: True)], progress.Progress(tmp_path / "log"))
    assert capsys.readouterr() == ("", "")


def test_a_step_tells_its_name_and_its_time_but_not_the_tool_s_noise(
    load: Callable[[str], ModuleType], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    progress = load("progress").Progress(tmp_path / "set-up.log")
    progress.run("say it", [sys.executable, "-c", "print('noise')"])
    shown = capsys.readouterr().err
    assert "say it: done in" in shown
    assert "noise" not in shown
    assert (tmp_path / "set-up-say-it.log").read_text() == "noise\n"


def test_a_failed_step_shows_the_end_of_its_log_and_where_it_is(
    load: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    module = load("progress")
    progress = module.Progress(tmp_path / "set-up.log")
    script = "import sys; [print('line', i) for i in range(99)]; sys.exit(3)"
    with pytest.raises(module.SetupError) as caught:
        progress.run("compile", [sys.executable, "-c", script])
    lines = str(caught.value).splitlines()
    assert lines[0] == f"compile: failed with status 3. The end of {tmp_path}/set-up-compile.log:"
    assert lines[1:] == [f"    line {i}" for i in range(74, 99)]


def test_a_tool_that_is_not_there_is_named(
    load: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    module = load("progress")
    with pytest.raises(module.SetupError, match="no-such-tool is not installed"):
        module.Progress(tmp_path / "log").run("try", ["no-such-tool"])


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"SIAX_CACHE": "/one", "XDG_CACHE_HOME": "/two", "HOME": "/three"}, "/one"),
        ({"XDG_CACHE_HOME": "/two", "HOME": "/three"}, "/two/siax"),
        ({"HOME": "/three"}, "/three/.cache/siax"),
    ],
    ids=["ours", "xdg", "home"],
)
def test_the_cache_is_where_the_user_says(
    load: Callable[[str], ModuleType],
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    folder: str,
) -> None:
    for name in ("SIAX_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert load("cache").cache_folder() == Path(folder)


def stamped(root: Path, **stamps: str) -> None:
    folder = root / ".venv" / ".siax"
    folder.mkdir(parents=True)
    for name, content in stamps.items():
        (folder / name).write_text(content)


class Ran:
    """Stands in for Progress and keeps the names of the steps."""

    def __init__(self) -> None:
        self.steps: list[str] = []

    def run(self, name: str, _command: object) -> None:
        self.steps.append(name)


@pytest.mark.parametrize(
    ("installed", "wanted", "steps"),
    [
        ("dev", "dev", []),
        ("dev", "", []),
        ("", "", []),
        ("", "dev", ["install Python packages"]),
    ],
)
def test_packages_are_installed_only_when_more_are_wanted(
    load: Callable[[str], ModuleType], tmp_path: Path, installed: str, wanted: str, steps: list[str]
) -> None:
    environment, ran = load("environment"), Ran()
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    state = environment.hashlib.sha256(b"[project]\n").hexdigest()
    stamped(tmp_path, project=f"{state} {installed}")
    environment.Environment(tmp_path, ran).ensure_project(wanted)
    assert ran.steps == steps


def test_packages_are_installed_anew_when_the_project_file_changes(
    load: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    environment, ran = load("environment"), Ran()
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    stamped(tmp_path, project="of-another-file dev")
    here = environment.Environment(tmp_path, ran)
    here.ensure_project("dev")
    here.ensure_project("dev")
    assert ran.steps == ["install Python packages"]


def test_an_absent_environment_is_made_and_a_moved_one_made_anew(
    load: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment, ran = load("environment"), Ran()
    versions = iter([(), (3, 11), (3, 11)])
    monkeypatch.setattr(environment.Environment, "_version", lambda _self: next(versions))
    stamped(tmp_path, environment="/elsewhere/.venv (3, 11)")
    here = environment.Environment(tmp_path, ran)
    here.ensure()
    here.ensure()
    assert ran.steps == ["make the virtual environment"]
