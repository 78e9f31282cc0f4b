"""A dial plan's entry with several links, as the file says it."""

from pathlib import Path

import pytest

from bridge import parts
from bridge.config import ConfigurationError, Loaded, load_configuration
from bridge.config.report import plain_report
from bridge.config.secret import new_secret
from bridge.dialing.plan import Destination

TEXT = r"""
sip: {allow: [192.0.2.0/24]}
links:
  hq: {peer: hq, username: b, secret: {env: HQ}, FIRST}
  backup: {peer: b, username: b, secret: {env: BACKUP}, OTHER}
dialplan:
  - {match: '9(\d+)', link: [hq, backup], dial: '{1}', ENTRY}
emergency: none
"""
FLAG = "allow_less_hidden: true"


def load(folder: Path, first: str = "", other: str = "", entry: str = "") -> Loaded:
    text = TEXT.replace("FIRST", first).replace("OTHER", other).replace("ENTRY", entry)
    path = folder / "siax.yaml"
    path.write_text(text)
    return load_configuration(path, {"HQ": new_secret(), "BACKUP": new_secret(), "WEAK": "hunter2"})


def complaints(folder: Path, first: str = "", other: str = "", entry: str = "") -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load(folder, first, other, entry)
    return [str(problem).partition("siax.yaml:")[2] for problem in caught.value.problems]


def test_the_plan_knows_all_links_in_order(tmp_path: Path) -> None:
    loaded = load(tmp_path)
    assert loaded.warnings == ()
    plan = parts.dial_plan(loaded.configuration)
    assert plan.resolve("9112") == Destination("hq", "112", (Destination("backup", "112"),))
    assert "link hq, else backup, sends {1}" in plain_report(loaded)


def test_one_link_is_written_as_before_or_as_a_list(tmp_path: Path) -> None:
    assert load(tmp_path).configuration.dialplan[0].link == ("hq", "backup")
    for link in ("hq", "[hq]"):
        path = tmp_path / "siax.yaml"
        path.write_text(path.read_text().replace("[hq, backup]", link))
        configuration = load_configuration(
            path, {"HQ": new_secret(), "BACKUP": new_secret()}
        ).configuration
        (entry,) = configuration.dialplan
        assert entry.link == ("hq",)
        path.write_text(path.read_text().replace(link + ", dial", "[hq, backup], dial"))


@pytest.mark.parametrize(
    ("first", "other", "why"),
    [
        ("", "caller_id: {send: true}", "it sends the caller"),
        ("in_call_digits: off", "", "it sends keys pressed in the call"),
        ("tail: on", "", "its calls have no tail"),
        ("rekey_s: 60", "", "its key changes less often"),
        ("rekey_s: 60", "rekey_s: 90", "its key changes less often"),
        ("", "dialing: {start_ms: [9, 9]}", "its dialing begins after a fixed delay"),
        (
            "tail: on, in_call_digits: off",
            "",
            "it sends keys pressed in the call, its calls have no tail",
        ),
    ],
)
def test_a_link_that_hides_less_is_refused_unless_the_entry_says_so(
    tmp_path: Path, first: str, other: str, why: str
) -> None:
    assert complaints(tmp_path, first, other) == [
        (
            f"7: dialplan[0].link[1]: hides less than link hq: {why}. Let both hide the same, or "
            "set allow_less_hidden: true on this entry"
        )
    ]
    route = parts.dial_plan(load(tmp_path, first, other, FLAG).configuration).routes[0]
    assert route.allow_less_hidden


def test_a_weak_secret_hides_less(tmp_path: Path) -> None:
    (tmp_path / "weak").touch(mode=0o600)
    (tmp_path / "weak").write_text("hunter2")
    path = tmp_path / "siax.yaml"
    path.write_text(
        TEXT.replace("{env: BACKUP}", "{file: weak}, allow_weak_secret: true")
        .replace(", FIRST", "")
        .replace(", OTHER", "")
        .replace(", ENTRY", "")
    )
    with pytest.raises(ConfigurationError, match="its secret can be guessed"):
        load_configuration(path, {"HQ": new_secret()})


@pytest.mark.parametrize(
    ("first", "other"),
    [
        ("caller_id: {send: true}", ""),
        ("", "in_call_digits: off, tail: on, rekey_s: 60"),
        ("rekey_s: 90", "rekey_s: 60"),
    ],
)
def test_a_link_that_hides_as_much_or_more_is_fine(tmp_path: Path, first: str, other: str) -> None:
    assert (
        not parts.dial_plan(load(tmp_path, first, other).configuration).routes[0].allow_less_hidden
    )


@pytest.mark.parametrize(
    ("links", "error"),
    [
        ("[hq, nowhere]", "7: dialplan[0].link[1]: expected the name of a link (backup, hq)"),
        ("nowhere", "7: dialplan[0].link: expected the name of a link (backup, hq)"),
        ("[hq, hq]", "7: dialplan[0].link: expected the names of links, each once, like [hq, back"),
        ("[]", "7: dialplan[0].link: expected the names of links, each once, like [hq, backup]"),
        ("{hq: 1}", "7: dialplan[0].link: expected the name of a link (backup, hq)"),
    ],
)
def test_each_error_has_its_place(tmp_path: Path, links: str, error: str) -> None:
    path = tmp_path / "siax.yaml"
    load(tmp_path)
    path.write_text(path.read_text().replace("[hq, backup]", links))
    with pytest.raises(ConfigurationError) as caught:
        load_configuration(path, {"HQ": new_secret(), "BACKUP": new_secret()})
    (problem,) = [str(each).partition("siax.yaml:")[2] for each in caught.value.problems]
    assert problem.startswith(error)


def test_a_warning_names_the_link_that_it_is_about(tmp_path: Path) -> None:
    warnings = load(tmp_path, other="dialing: {slots: 2}").warnings
    assert not warnings
    path = tmp_path / "siax.yaml"
    path.write_text(path.read_text().replace(r"9(\d+)", r"9(\d{3,})"))
    (warning,) = load_configuration(path, {"HQ": new_secret(), "BACKUP": new_secret()}).warnings
    assert "never fits the 2 slots of link backup" in str(warning)
