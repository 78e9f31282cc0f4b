import logging
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
import structlog

from bridge import __version__, cli
from bridge.config import Loaded
from bridge.config.secret import measure_strength
from bridge.errors import BridgeError
from bridge.net.status_socket import SOCKET_NAME
from bridge.status.client import NotRunningError
from bridge.status.model import Status, decode_status
from bridge.status.tracing import TraceRequest
from tests.lab.status_sample import STATUS

ROOT = Path(__file__).resolve().parents[2]
GOOD = """
allow_inline_secrets: true
sip: {allow: [192.0.2.0/24]}
links: {hq: {peer: hq, username: b, secret: Zk3vQ0nS8xW5tB1yR7uJ4mE9pL2c}}
emergency: none
"""


@pytest.fixture
def configuration(tmp_path: Path) -> str:
    path = tmp_path / "siax.yaml"
    path.write_text(GOOD)
    return str(path)


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, raises = root.handlers[:], root.level, logging.raiseExceptions
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.raiseExceptions = raises
    logging.captureWarnings(capture=False)


@pytest.fixture
def put_module(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Callable[..., int]], None]:
    """Stand in for bridge.app or bridge.demo, which the commands import when they run."""

    def put(name: str, run: Callable[..., int]) -> None:
        module = ModuleType(f"bridge.{name}")
        module.run = run  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, f"bridge.{name}", module)
        monkeypatch.setattr(f"bridge.{name}", module, raising=False)

    return put


Put = Callable[[str, Callable[..., int]], None]
Capture = pytest.CaptureFixture[str]


def exit_code(*arguments: str) -> int:
    try:
        return cli.main(arguments)
    except SystemExit as exit_:
        return exit_.code if isinstance(exit_.code, int) else -1


def test_check_prints_the_configuration(configuration: str, capsys: Capture) -> None:
    assert exit_code("check", configuration) == 0
    out, err = capsys.readouterr()
    assert "Link hq" in out
    assert "warning:" in out
    assert err == ""


def test_check_names_every_error(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("sitee: x\nlinks: {hq: {}}\n")
    assert exit_code("check", str(path)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert f"error: {path}:1: sitee: unknown key; did you mean 'site'?\n" in err
    assert "5 errors: correct the file and try again" in err


def test_check_of_a_file_that_is_not_there(tmp_path: Path, capsys: Capture) -> None:
    assert exit_code("check", str(tmp_path / "none")) == 2
    assert "1 error: correct" in capsys.readouterr().err


def test_run_hands_the_loaded_configuration_to_the_bridge(
    configuration: str, put_module: Put, capsys: Capture
) -> None:
    seen: list[tuple[Loaded, object]] = []

    def run(loaded: Loaded, trace: object) -> int:
        seen.append((loaded, trace))
        return 0

    put_module("app", run)
    assert exit_code("run", configuration, "--log-format", "json") == 0
    ((loaded, trace),) = seen
    assert list(loaded.configuration.links) == ["hq"]
    assert trace is None
    assert '"key": "dialplan"' in capsys.readouterr().err


@pytest.mark.parametrize("digits", [False, True])
def test_run_traces_a_link_that_there_is(
    configuration: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch, *, digits: bool
) -> None:
    from bridge import app  # noqa: PLC0415  as the command does

    seen: list[TraceRequest | None] = []

    def run(_loaded: Loaded, trace: TraceRequest | None) -> int:
        seen.append(trace)
        return 0

    monkeypatch.setattr(app, "run", run)
    options = ["--trace-digits"] * digits
    assert exit_code("run", configuration, "--trace", "hq", *options) == 0
    assert seen == [TraceRequest("hq", digits)]
    assert exit_code("run", configuration, "--trace", "hk") == 2
    assert "expected the name of a link (hq)" in capsys.readouterr().err
    assert len(seen) == 1


def test_run_refuses_a_bad_configuration(tmp_path: Path) -> None:
    assert exit_code("run", str(tmp_path / "none")) == 2


@pytest.mark.parametrize(
    "error",
    [
        BridgeError("the port is taken"),
        ExceptionGroup("", [ExceptionGroup("", [BridgeError("the port is taken")])]),
    ],
)
def test_what_keeps_the_bridge_from_running_is_said_in_one_line(
    configuration: str, put_module: Put, capsys: Capture, error: Exception
) -> None:
    def run(_loaded: Loaded, _trace: object) -> int:
        raise error

    put_module("app", run)
    assert exit_code("run", configuration) == 1
    assert capsys.readouterr().err.endswith("siax: the port is taken\n")


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("call of 493012345678 failed"),
        ExceptionGroup("", [BridgeError("x"), RuntimeError("call of 493012345678 failed")]),
    ],
)
def test_a_crash_is_a_masked_log_entry(
    configuration: str, put_module: Put, capsys: Capture, error: Exception
) -> None:
    def run(_loaded: Loaded, _trace: object) -> int:
        raise error

    put_module("app", run)
    assert exit_code("run", configuration) == 1
    err = capsys.readouterr().err
    assert "the bridge has crashed" in err
    assert "RuntimeError" in err
    assert "493012345678" not in err


@pytest.mark.parametrize(("arguments", "hold"), [(("demo",), False), (("demo", "--hold"), True)])
def test_demo(put_module: Put, arguments: tuple[str, ...], *, hold: bool) -> None:
    seen: list[bool] = []

    def run(*, hold: bool) -> int:
        seen.append(hold)
        return 1

    put_module("demo", run)
    assert exit_code(*arguments) == 1
    assert seen == [hold]


@pytest.mark.parametrize("missing", ["pjsua2", "_pjsua2"])
def test_a_missing_pjsua2_is_explained(put_module: Put, capsys: Capture, missing: str) -> None:
    def run(*, hold: bool) -> int:
        raise ModuleNotFoundError(str(hold), name=missing)

    put_module("demo", run)
    assert exit_code("demo") == 1
    assert "make demo" in capsys.readouterr().err


def test_other_missing_modules_are_not_hidden(put_module: Put) -> None:
    def run(*, hold: bool) -> int:
        raise ModuleNotFoundError(str(hold), name="elsewhere")

    put_module("demo", run)
    with pytest.raises(ModuleNotFoundError):
        exit_code("demo")


def test_keygen_prints_a_strong_secret(capsys: Capture) -> None:
    assert exit_code("keygen") == 0
    out, err = capsys.readouterr()
    assert measure_strength(out.removesuffix("\n")).weakness is None
    assert err == ""


def test_keygen_writes_a_private_file_once(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "hq"
    assert exit_code("keygen", "-o", str(path)) == 0
    secret = path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert exit_code("keygen", "-o", str(path)) == 1
    out, err = capsys.readouterr()
    assert "not overwritten" in err
    assert secret.strip() not in out + err
    assert path.read_text() == secret


def test_the_version(capsys: Capture) -> None:
    assert exit_code("--version") == 0
    assert capsys.readouterr().out == f"siax {__version__}\n"


@pytest.mark.parametrize("arguments", [(), ("fly",), ("run",), ("run", "x", "--log-level", "all")])
def test_wrong_arguments_are_2(arguments: tuple[str, ...]) -> None:
    assert exit_code(*arguments) == 2


@pytest.mark.parametrize("command", [(), ("run",), ("check",), ("demo",), ("keygen",)])
def test_every_help_has_examples(capsys: Capture, command: tuple[str, ...]) -> None:
    assert exit_code(*command, "--help") == 0
    assert "examples:\n  siax " in capsys.readouterr().out


def test_the_module_is_the_command() -> None:
    command = [sys.executable, "-m", "bridge", "--version"]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout == f"siax {__version__}\n"


def test_a_reader_that_has_left_is_no_crash() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "bridge", "keygen"]
    done = subprocess.run(command, cwd=ROOT, check=False, stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.fixture
def _status(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.status.commands.ask_status", lambda _folder: STATUS)


@pytest.mark.usefixtures("_status")
def test_status_for_people_and_for_machines(configuration: str, capsys: Capture) -> None:
    assert exit_code("status", configuration) == 0
    assert "call 7 on hq: good, encrypted both ways" in capsys.readouterr().out
    assert exit_code("status", "--state-dir", "/var/lib/siax", "--json") == 0
    assert decode_status(capsys.readouterr().out.encode()) == STATUS


@pytest.mark.usefixtures("_status")
def test_status_finds_the_configuration_that_lies_here(
    configuration: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(configuration).parent)
    assert exit_code("status") == 0
    assert "call 7" in capsys.readouterr().out


def test_status_needs_no_secrets_to_find_the_service(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "siax.yaml"
    path.write_text("state_dir: here\nlinks: {hq: {secret: {file: /not/for/you}}}\n")
    assert exit_code("status", str(path)) == 2
    assert f"there is no folder {tmp_path}/here" in capsys.readouterr().err


def test_status_in_the_wrong_place(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.status.commands.DEFAULT_CONFIGURATIONS", ())
    assert exit_code("status") == 2
    assert "which service?" in capsys.readouterr().err
    assert exit_code("status", "--state-dir", str(tmp_path)) == 2
    assert "no service is running with state_dir" in capsys.readouterr().err
    assert exit_code("status", str(tmp_path / "missing.yaml")) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_status_of_a_service_that_has_ended(tmp_path: Path, capsys: Capture) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as killed:
        killed.bind(str(tmp_path / SOCKET_NAME))
    assert exit_code("status", "--state-dir", str(tmp_path)) == 1
    assert "is not running" in capsys.readouterr().err


@pytest.mark.usefixtures("_status")
def test_status_again_each_second_until_ctrl_c(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", wait)
    assert exit_code("status", "--state-dir", str(tmp_path), "--json", "--watch") == 0
    lines = capsys.readouterr().out.splitlines()
    assert waits == [1.0, 1.0, 1.0]
    assert [decode_status(line.encode()) for line in lines] == [STATUS] * 3
    assert exit_code("status", "--state-dir", str(tmp_path), "--watch") == 2
    assert "draws on a terminal" in capsys.readouterr().err


def test_the_live_view_goes_on_while_the_service_is_away(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[Status | Exception] = [STATUS, NotRunningError("gone"), STATUS]

    def ask(_folder: Path) -> Status:
        if not answers:
            raise KeyboardInterrupt
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr("bridge.status.commands.ask_status", ask)
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    assert exit_code("status", "--state-dir", str(tmp_path), "--watch") == 0
    out = capsys.readouterr().out
    assert "gone" in out
    assert out.count("branch-7") >= 2
