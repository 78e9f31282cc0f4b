"""Registrations of links: who registers with whom, and what their secrets may be."""

from pathlib import Path
from typing import Final

import pytest

from bridge import parts
from bridge.config import Configuration, ConfigurationError, Loaded, load_configuration
from bridge.config.report import plain_report
from bridge.config.secret import new_secret
from bridge.iax2 import Registrant, RegistrationProfile

SECRETS: Final = {
    name: new_secret() for name in ("HQ", "BACK", "HQ_REG", "BRANCH", "BRANCH_REG", "EAST_REG")
} | {"WEAK": "hunter2"}
TEXT: Final = r"""
sip: {allow: [192.0.2.0/24]}
links:
  hq:
    peer: hq.example.net
    username: branch-7
    secret: {env: HQ}
    accept: {username: hq, secret: {env: BACK}, from: [198.51.100.7]}
    register: {secret: {env: HQ_REG}}
  branch:
    peer: dynamic
    username: hq
    secret: {env: BRANCH}
    registrant: {username: branch-8-there, secret: {env: BRANCH_REG}}
dialplan:
  - {match: '9(\d+)', link: hq, dial: '{1}'}
  - {match: '8(\d+)', link: branch, dial: '{1}'}
  - {from: hq, match: '2\d\d', to: 'sip:{0}@192.0.2.30'}
emergency: none
"""
SECOND: Final = """
  east:
    peer: dynamic
    username: hq
    secret: {env: BRANCH}
    registrant: {username: branch-8-there, secret: {env: EAST_REG}}
dialplan:"""


def load(folder: Path, text: str = TEXT) -> Loaded:
    path = folder / "siax.yaml"
    path.write_text(text)
    return load_configuration(path, SECRETS)


@pytest.fixture
def configuration(tmp_path: Path) -> Configuration:
    loaded = load(tmp_path)
    assert loaded.warnings == ()
    return loaded.configuration


def test_we_register_with_the_name_of_the_link_for_a_minute(configuration: Configuration) -> None:
    hq, branch = configuration.links.values()
    profile = RegistrationProfile("branch-7", SECRETS["HQ_REG"].encode(), 60)
    assert parts.registration_profile(hq) == profile
    assert parts.registration_profile(branch) is None


def test_or_with_another_name_for_longer(tmp_path: Path) -> None:
    text = TEXT.replace("register: {", "register: {username: b7-there, refresh_s: 300, ")
    hq = load(tmp_path, text).configuration.links["hq"]
    profile = RegistrationProfile("b7-there", SECRETS["HQ_REG"].encode(), 300)
    assert parts.registration_profile(hq) == profile


def test_a_dynamic_peer_registers_here(configuration: Configuration) -> None:
    assert configuration.links["branch"].peer == "dynamic"
    secret = SECRETS["BRANCH_REG"].encode()
    assert list(parts.registrants(configuration)) == [
        Registrant("branch", "branch-8-there", secret)
    ]


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("{env: HQ_REG}", "{env: HQ}", "9: links.hq.register.secret: the same as secret of link"),
        ("{env: HQ_REG}", "{env: BACK}", "9: links.hq.register.secret: the same as accept.secret"),
        ("{env: HQ_REG}", "{env: BRANCH}", "9: links.hq.register.secret: the same as secret of l"),
        (
            "{env: BRANCH_REG}",
            "{env: HQ_REG}",
            "14: links.branch.registrant.secret: the same as register.secret of link hq",
        ),
        ("{env: HQ_REG}", "{env: WEAK}", "9: links.hq.register.secret: the secret is shorter"),
        ("{env: BRANCH_REG}", "{env: WEAK}", "14: links.branch.registrant.secret: the secret is"),
        ("{secret: {env: HQ_REG}}", "{}", "9: links.hq.register.secret: is missing: {file: PATH}"),
        ("register: {", "register: {refresh_s: 19, ", "9: links.hq.register.refresh_s: expected a"),
        ("register: {", "register: {username: '', ", "9: links.hq.register.username: expected a u"),
        ("register:", "registration:", "9: links.hq.registration: unknown key here; it"),
        ("username: branch-8-there, ", "", "14: links.branch.registrant.username: is missing"),
        ("branch-8-there", "b8", "14: links.branch.registrant.username: expected a user name of 3"),
        ("    registrant:", "    #", "10: links.branch.registrant: is missing: {username, secret}"),
        ("peer: dynamic", "peer: b.example", "14: links.branch.registrant: is for a far end wit"),
        ("\ndialplan:", SECOND, "19: links.east.registrant.username: the far end of link branch"),
    ],
)
def test_mistakes_are_named_with_their_place(
    tmp_path: Path, old: str, new: str, complaint: str
) -> None:
    assert old in TEXT
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, TEXT.replace(old, new))
    found = [str(problem).removeprefix(f"{tmp_path}/") for problem in caught.value.problems]
    assert any(text.startswith(f"siax.yaml:{complaint}") for text in found), found


def test_a_weak_secret_may_be_allowed_and_is_a_doubt(tmp_path: Path) -> None:
    text = TEXT.replace("{env: HQ_REG}", "{env: WEAK}")
    text = text.replace("{env: HQ}", "{env: HQ}\n    allow_weak_secret: true")
    (doubt,) = load(tmp_path, text).warnings
    assert "10: links.hq.register.secret: the secret is shorter than" in str(doubt)


def test_to_register_for_calls_that_are_not_taken_is_a_doubt(tmp_path: Path) -> None:
    lines = [line for line in TEXT.splitlines() if "accept" not in line and "from: hq" not in line]
    (doubt,) = load(tmp_path, "\n".join(lines)).warnings
    assert "links.hq.register: tells the far end where to call, but there is no `accept`" in str(
        doubt
    )


def test_the_report_says_who_registers_with_whom(tmp_path: Path) -> None:
    report = plain_report(load(tmp_path))
    assert "wherever branch-8-there registers from, as user hq, extension enc" in report
    assert "with the far end as branch-7, for 60 s at a time, in clear; secret from" in report
    assert "from the far end as branch-8-there, in clear; until then, and when that" in report
    assert not [secret for secret in SECRETS.values() if secret in report]
