import io
from pathlib import Path

import pytest

from bridge.config import Loaded, load_configuration
from bridge.config.describe import verdict
from bridge.config.report import plain_report, show_configuration

STRONG = "Zk3vQ0nS8xW5tB1yR7uJ4mE9pL2c"
TEXT = r"""
sip: {allow: [192.0.2.0/24]}
links:
  hq: {peer: hq, username: branch-7, secret: {env: HQ}}
  lab: {peer: lab, username: branch-7, secret: {env: WEAK}, allow_weak_secret: true}
dialplan:
  - {match: '9([1-3]\d+)', link: hq, dial: '{1}'}
  - {match: '8(\d+)', link: lab, dial: '{1}'}
emergency: none
"""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def loaded(tmp_path: Path) -> Loaded:
    path = tmp_path / "siax.yaml"
    path.write_text(TEXT)
    return load_configuration(path, {"HQ": STRONG, "WEAK": "hunter2"})


def test_the_plain_report_says_what_a_link_hides_and_what_not(loaded: Loaded) -> None:
    report = plain_report(loaded)
    for part in (
        "Link hq\n",
        "always and both ways (AES-128), or the call ends; no option turns that off",
        "environment variable HQ (28 characters, at most 167 bits; strong)",
        "WEAK: it is shorter than 22 characters",
        "in 26 frames, one each 60 ms, the same for every number of up to 25 digits",
        "it takes 1.7 to 2.1 s",
        "never the number or the caller",
        "pressed in the call are sent",
        "run the link inside a VPN",
        r"9([1-3]\d+)    link hq, sends {1}; over 25 digits or with # in it: 484",
        "anything else  404 Not Found",
        "allow_weak_secret lets it pass",
    ):
        assert part in report
    assert report.endswith("siax.yaml: OK, with 1 warning\n")


def test_the_report_tells_of_dropped_keys_and_of_the_tail(tmp_path: Path) -> None:
    path = tmp_path / "siax.yaml"
    path.write_text(
        TEXT.replace("username: branch-7,", "username: a, in_call_digits: off, tail: on,", 1)
    )
    report = plain_report(load_configuration(path, {"HQ": STRONG, "WEAK": "hunter2"}))
    assert report.count("pressed in the call are dropped") == 1
    assert report.count("up to 2 s longer, at random") == 1


def test_the_report_tells_that_the_caller_is_sent(tmp_path: Path) -> None:
    path = tmp_path / "siax.yaml"
    path.write_text(TEXT.replace("username: branch-7,", "username: a, caller_id: {send: true},", 1))
    report = plain_report(load_configuration(path, {"HQ": STRONG, "WEAK": "hunter2"}))
    for part in (
        "within the same frames, as *{caller}*{called}#",
        "in 44 frames, one each 60 ms",
        "the same for every number of up to 41 digits with its caller",
        "sends {1} and the caller; over 41 digits together or with # in it: 484",
    ):
        assert report.count(part) == 1


def test_the_report_says_how_often_a_key_changes_within_a_call(tmp_path: Path) -> None:
    path = tmp_path / "siax.yaml"
    path.write_text(TEXT.replace("secret: {env: HQ}", "secret: {env: HQ}, rekey_s: 600"))
    report = plain_report(load_configuration(path, {"HQ": STRONG, "WEAK": "hunter2"}))
    assert report.count("another one, at random, each 600 s of a call") == 1


def test_no_report_shows_a_secret(loaded: Loaded) -> None:
    terminal = Terminal()
    show_configuration(loaded, terminal)
    for report in (terminal.getvalue(), plain_report(loaded)):
        assert STRONG not in report
        assert "hunter2" not in report


def test_a_terminal_gets_panels_and_a_pipe_plain_lines(loaded: Loaded) -> None:
    terminal, pipe = Terminal(), io.StringIO()
    show_configuration(loaded, terminal)
    show_configuration(loaded, pipe)
    assert "╭" in terminal.getvalue()
    assert "9([1-3]\\d+)" in terminal.getvalue()
    assert pipe.getvalue() == plain_report(loaded)
    assert pipe.getvalue().isascii()


@pytest.mark.parametrize(
    ("count", "text"), [(0, "OK"), (1, "OK, with 1 warning"), (2, "OK, with 2 warnings")]
)
def test_the_verdict_counts_warnings(loaded: Loaded, count: int, text: str) -> None:
    with_warnings = Loaded(loaded.configuration, loaded.warnings * count, loaded.path)
    assert verdict(with_warnings) == text
