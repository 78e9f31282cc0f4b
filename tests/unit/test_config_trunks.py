"""Trunks and emergency numbers in the configuration, and what goes there."""

from pathlib import Path
from typing import Final

import pytest

from bridge import parts
from bridge.config import ConfigurationError, Loaded, load_configuration
from bridge.config.report import plain_report
from bridge.config.secret import new_secret
from bridge.dialing.delivery import TrunkNumber
from bridge.sip.sdes import Srtp
from bridge.sip.settings import TrunkSettings

ENVIRONMENT: Final = {name: new_secret() for name in ("HQ", "BACK", "TRUNK")} | {"WEAK": "1234"}
TEXT: Final = r"""
sip: {allow: [192.0.2.0/24], listen: ['udp://0.0.0.0:5060']}
links:
  hq:
    peer: hq.example.net
    username: branch-7
    secret: {env: HQ}
    accept: {username: hq, secret: {env: BACK}, from: [198.51.100.7]}
trunks:
  provider: {server: 'sip.example.com:5080', user: site-7, password: {env: TRUNK}}
dialplan:
  - {match: '9(\d+)', link: hq, dial: '{1}'}
  - {from: hq, match: '0(\d+)', trunk: provider, dial: '+49{1}'}
emergency: none
"""


def load(folder: Path, *changes: tuple[str, str]) -> Loaded:
    text = TEXT
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = folder / "siax.yaml"
    path.write_text(text)
    return load_configuration(path, ENVIRONMENT)


def test_a_trunk_by_its_defaults(tmp_path: Path) -> None:
    loaded = load(tmp_path)
    assert loaded.warnings == ()
    (trunk,) = parts.sip_settings(loaded.configuration).trunks
    password = ENVIRONMENT["TRUNK"]
    assert trunk == TrunkSettings("provider", "site-7", password, "sip.example.com", "site-7")
    report = plain_report(loaded)
    assert "sip.example.com:5080 over udp, as site-7" in report
    assert "calls from link hq go to trunk provider as +49{1}" in report
    assert password not in report


def test_everything_that_can_be_said_of_one(tmp_path: Path) -> None:
    told = (
        "domain: pbx.example.com, from_user: '+15550100', register: off, expires_s: 120, "
        "srtp: optional, calls_max: 4, password"
    )
    loaded = load(tmp_path, ("password", told))
    (trunk,) = parts.sip_settings(loaded.configuration).trunks
    assert (trunk.domain, trunk.from_user, trunk.registers) == (
        "pbx.example.com",
        "+15550100",
        False,
    )
    assert (trunk.expires_s, trunk.srtp, trunk.calls_max) == (120, Srtp.OPTIONAL, 4)
    assert [warning.key for warning in loaded.warnings] == ["trunks.provider.srtp"]


def test_a_number_from_the_link_becomes_one_of_the_trunk(tmp_path: Path) -> None:
    plan = parts.delivery_plan(load(tmp_path).configuration)
    assert plan.resolve("0301234", "hq") == TrunkNumber("provider", "+49301234")
    assert "301234" not in repr(plan.resolve("0301234", "hq"))
    assert plan.resolve("1", "hq") is None


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("server: 'sip.example.com:5080'", "server: 'sip.example.com:0'", "a host or host:port"),
        ("user: site-7", "user: 'site 7'", "a user name without spaces"),
        ("user: site-7", "user: site-7, domain: 'a:5'", "a host without a port"),
        ("user: site-7", "user: site-7, transport: tcp", "sip.listen has no tcp://"),
        ("user: site-7", "user: site-7, transport: sctp", "expected udp or tcp"),
        ("user: site-7", "user: site-7, expires_s: 5", "a whole number from 60"),
        ("trunk: provider", "trunk: other", "expected the name of a trunk (provider)"),
        ("trunk: provider", "trunk: provider, to: 'phone:a'", "to a phone or to a trunk"),
        ("trunk: provider", "link: hq", "say which with `to` or `trunk`"),
        ("trunk: provider, dial: '+49{1}'", "trunk: provider, dial: 'x{1}'", "DTMF digits"),
        ("link: hq, dial", "trunk: provider, dial", "is for calls from a link"),
    ],
)
def test_what_is_refused(tmp_path: Path, old: str, new: str, says: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        load(tmp_path, (old, new))
    assert says in str(raised.value)


def test_what_is_doubtful(tmp_path: Path) -> None:
    unused = ", trunk: provider, dial: '+49{1}'", ", to: 'phone:desk'"
    loaded = load(tmp_path, ("{env: TRUNK}", "{env: WEAK}"), unused)
    assert [(warning.key, warning.message.partition(":")[0]) for warning in loaded.warnings] == [
        ("trunks.provider", "no route leads to this trunk"),
        ("trunks.provider.password", "can be guessed by who sees its digest"),
        ("dialplan[1].to", "no phone of sip.phones has this name"),
    ]


EMERGENCY: Final = ("emergency: none", "emergency: {numbers: [112, '000'], route: provider}")


def test_emergency_numbers_are_no_routes(tmp_path: Path) -> None:
    loaded = load(tmp_path, EMERGENCY)
    plan = parts.dial_plan(loaded.configuration)
    assert loaded.warnings == ()
    for called, number in (
        ("112", "112"),
        ("1-1-2", "112"),
        ("000", "000"),
        ("9112", "112"),  # what the route of 9 would send
        ("91125", None),
        ("911", None),
        ("0112", None),
    ):
        assert plan.emergency_number(called) == number
    assert "112, 000: to trunk provider in clear, before any route" in plain_report(loaded)


def test_an_emergency_number_behind_the_digits_of_an_outside_line(tmp_path: Path) -> None:
    text = "emergency: {numbers: [112, 911], route: provider, outside_line: 0}"
    plan = parts.dial_plan(load(tmp_path, ("emergency: none", text)).configuration)
    assert [plan.emergency_number(n) for n in ("112", "0112", "0911", "00112")] == [
        "112",
        "112",
        "911",
        None,
    ]


def test_without_an_answer_about_emergency_calls_nothing_runs(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as raised:
        load(tmp_path, ("emergency: none", ""))
    (problem,) = raised.value.problems
    assert problem.key == "emergency"
    assert problem.message == (
        "is missing: {numbers: [112, 911], route: TRUNK}, the numbers that never go over a link "
        "but to a trunk, in clear; or none, where phones call no such numbers here"
    )


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ("", "emergency: is missing"),
        ("off", "expected none, or {numbers: [112, 911], route: TRUNK}"),
        ("[112]", "expected none, or {numbers: [112, 911], route: TRUNK}"),
        ("{numbers: [], route: provider}", "at least one number, each once"),
        ("{numbers: [1 1 2], route: provider}", "a number as a phone dials it"),
        ("{numbers: [112], route: other}", "expected the name of a trunk (provider)"),
        ("{numbers: [112]}", "emergency.route: is missing: the trunk that takes them"),
        ("{numbers: [112], route: provider, outside_line: x}", "digits, like 9"),
    ],
)
def test_what_is_no_answer_about_emergency_calls(tmp_path: Path, told: str, says: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        load(tmp_path, ("emergency: none", f"emergency: {told}"))
    assert says in str(raised.value)


def test_a_trunk_for_emergencies_alone_is_used(tmp_path: Path) -> None:
    unused = ", trunk: provider, dial: '+49{1}'", ", to: 'sip:desk@192.0.2.30'"
    assert load(tmp_path, EMERGENCY, unused).warnings == ()
