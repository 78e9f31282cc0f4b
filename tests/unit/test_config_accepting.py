"""Calls that a far end places here, as the configuration says who may and which phone rings."""

from pathlib import Path
from typing import Final

import pytest

from bridge import parts
from bridge.bridging.link import Acceptance
from bridge.config import Configuration, ConfigurationError, Loaded, load_configuration
from bridge.config.report import plain_report
from bridge.config.secret import new_secret
from bridge.dialing.collector import CollectionLimits
from bridge.iax2 import ChallengeMemory

SECRETS: Final = {"HQ": new_secret(), "BACK": new_secret(), "WEAK": "hunter2"}
TEXT: Final = r"""
sip: {allow: [192.0.2.0/24]}
links:
  hq:
    peer: hq.example.net
    username: branch-7
    secret: {env: HQ}
    accept: {username: hq, secret: {env: BACK}, from: [198.51.100.7, '2001:db8::/32']}
dialplan:
  - {match: '9(\d+)', link: hq, dial: '{1}'}
  - {from: hq, match: '2(\d\d)', to: 'sip:desk-{1}@192.0.2.30:5070;transport=tcp'}
  - {from: hq, match: '(\d+)', to: 'sip:{0}@[2001:db8::30]'}
"""
WEAK: Final = "9: links.hq.accept.secret: the secret is shorter than 22 characters"


def load(folder: Path, text: str = TEXT) -> Loaded:
    path = folder / "siax.yaml"
    path.write_text(f"{text}emergency: none\n")
    return load_configuration(path, SECRETS)


def complaints(folder: Path, old: str, new: str) -> list[str]:
    assert old in TEXT
    with pytest.raises(ConfigurationError) as caught:
        load(folder, TEXT.replace(old, new))
    return [str(problem).removeprefix(f"{folder}/") for problem in caught.value.problems]


@pytest.fixture
def configuration(tmp_path: Path) -> Configuration:
    loaded = load(tmp_path)
    assert loaded.warnings == ()
    return loaded.configuration


def test_a_link_takes_no_calls_unless_it_says_so(tmp_path: Path) -> None:
    text = TEXT.partition("    accept")[0]
    assert load(tmp_path, text).configuration.links["hq"].accept is None


def test_who_may_call_and_how_long_digits_are_waited_for(configuration: Configuration) -> None:
    accept = configuration.links["hq"].accept
    assert accept is not None
    assert accept.username == "hq"
    assert accept.secret.reveal() == SECRETS["BACK"]
    assert [str(network) for network in accept.networks] == ["198.51.100.7/32", "2001:db8::/32"]
    assert accept.limits("#") == CollectionLimits("#", 32, 5, 20)
    assert accept.ring_s == 60


def test_calls_from_a_link_ring_a_phone(configuration: Configuration) -> None:
    _, desk, any_phone = configuration.dialplan
    assert (desk.from_link, desk.link) == ("hq", ())
    assert str(desk.to) == "sip:desk-{1}@192.0.2.30:5070;transport=tcp"
    match = desk.match.fullmatch("201")
    assert match is not None
    assert desk.template.expand(match) == "desk-01"
    assert str(any_phone.to) == "sip:{0}@[2001:db8::30]:5060;transport=udp"


def test_calls_from_a_link_ring_a_phone_that_registers(tmp_path: Path) -> None:
    loaded = load(tmp_path, TEXT.replace("sip:{0}@[2001:db8::30]", "phone:{0}"))
    to = loaded.configuration.dialplan[2].to
    assert to is not None
    assert (str(to), to.user, to.behind_user) == ("phone:{0}", "{0}", "")
    assert "calls from link hq ring phone:{0}" in plain_report(loaded)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("username: hq, ", "", "8: links.hq.accept.username: is missing: the name that"),
        ("secret: {env: BACK}, ", "", "8: links.hq.accept.secret: is missing: {file: PATH}"),
        (", from: [198.51.100.7, '2001:db8::/32']", "", "8: links.hq.accept.from: is missing: net"),
        ("[198.51.100.7, '2001:db8::/32']", "[]", "8: links.hq.accept.from: expected at least one"),
        ("[198.51.100.7,", "[hq.example.net,", "8: links.hq.accept.from[0]: expected an IP"),
        ("{env: BACK}", "{env: HQ}", "8: links.hq.accept.secret: the secret that link hq calls"),
        ("{env: BACK}", "{env: WEAK}", "8: links.hq.accept.secret: the secret is shorter than"),
        ("from: [198", "digits_max: 65, from: [198", "8: links.hq.accept.digits_max: expected a"),
        ("from: [198", "inter_digit_s: 0, from: [198", "8: links.hq.accept.inter_digit_s: expec"),
        ("from: [198", "dialing_s: 0, from: [198", "8: links.hq.accept.dialing_s: expected sec"),
        ("from: [198", "ring_s: 0, from: [198", "8: links.hq.accept.ring_s: expected seconds"),
        ("from: [198", "networks: [198", "8: links.hq.accept.networks: unknown key"),
        ("{from: hq, match: '2", "{from: gone, match: '2", "11: dialplan[1].from: expected the n"),
        ("{from: hq, match: '2", "{match: '2", "11: dialplan[1].to: is for calls from a link"),
        ("sip:{0}@[2001:db8::30]", "sip:{0}@phone.lan", "12: dialplan[2].to: expected sip:USER@"),
        ("sip:{0}@[2001:db8::30]", "sip:192.0.2.1", "12: dialplan[2].to: expected sip:USER@"),
        ("sip:{0}@[2001:db8::30]", "sip:{2}@192.0.2.1", "12: dialplan[2].to: no group {2}"),
        (", to: 'sip:{0}@[2001:db8::30]'", ", link: hq", "12: dialplan[2].link: a call from a lin"),
        (", to: 'sip:{0}@[2001:db8::30]'", "", "12: dialplan[2].link: a call from a link goes"),
        ("@[2001:db8::30]'", "@192.0.2.1', link: hq", "12: dialplan[2].link: a call from a link"),
        ("@[2001:db8::30]'", "@192.0.2.1', dial: '1'", "12: dialplan[2].dial: no digits are sent"),
        ("link: hq, ", "", "10: dialplan[0].link: is missing: the link that such calls take"),
    ],
)
def test_mistakes_are_named_with_their_place(
    tmp_path: Path, old: str, new: str, complaint: str
) -> None:
    found = complaints(tmp_path, old, new)
    assert any(text.startswith(f"siax.yaml:{complaint}") for text in found), found


def test_routes_from_a_link_that_takes_no_calls(tmp_path: Path) -> None:
    (line,) = [line for line in TEXT.splitlines() if "accept" in line]
    assert complaints(tmp_path, line, "") == [
        "siax.yaml:11: dialplan[1].from: this link takes no calls: it has no `accept`"
    ]


def test_a_name_is_that_of_one_link_alone(tmp_path: Path) -> None:
    second = (
        "  south: {peer: s, username: b, secret: {env: HQ}, accept: "
        "{username: hq, secret: {env: BACK}, from: [192.0.2.9]}}\ndialplan:"
    )
    assert complaints(tmp_path, "dialplan:", second) == [
        "siax.yaml:9: links.south.accept.username: link hq accepts this name already"
    ]


@pytest.mark.parametrize(
    ("phones", "to", "rings"),
    [
        ("", "phone:{0}", False),
        ("desk", "phone:{0}", True),
        ("desk", "phone:desk", True),
        ("desk", "phone:desc", False),
    ],
)
def test_a_phone_that_nobody_is(tmp_path: Path, phones: str, to: str, *, rings: bool) -> None:
    known = f"[{{user: {phones}, password: {{env: HQ}}}}]" if phones else "[]"
    text = TEXT.replace("sip: {", f"sip: {{phones: {known}, ")
    loaded = load(tmp_path, text.replace("sip:{0}@[2001:db8::30]", to))
    found = [doubt.key for doubt in loaded.warnings]
    assert ("dialplan[2].to" in found) is not rings


@pytest.mark.parametrize(
    ("old", "new", "warning"),
    [
        ("[198.51.100.7,", "[0.0.0.0/0,", "8: links.hq.accept.from[0]: everybody who reaches"),
        (
            "{from: hq, match: '2(\\d\\d)'",
            "{from: hq, match: '(\\d+)'",
            "12: dialplan[2].match: ne",
        ),
        ("{from: hq, match: '(\\d+)'", "{from: hq, match: '(\\d+)+'", "12: dialplan[2].match: rep"),
        ("secret: {env: HQ}", "secret: {env: HQ}\n    allow_weak_secret: true", WEAK),
    ],
)
def test_doubts_are_warnings(tmp_path: Path, old: str, new: str, warning: str) -> None:
    text = TEXT.replace(old, new)
    if warning == WEAK:
        text = text.replace("{env: BACK}", "{env: WEAK}")
    found = [str(doubt).partition("siax.yaml:")[2] for doubt in load(tmp_path, text).warnings]
    assert any(text.startswith(warning) for text in found), found


def test_the_report_says_how_a_phone_is_answered_by_a_far_phone(tmp_path: Path) -> None:
    loaded = load(tmp_path, TEXT.replace("    accept:", "    answer: far-end\n    accept:"))
    assert loaded.configuration.links["hq"].answer == "far-end"
    report = plain_report(loaded)
    assert "rings and is answered as the far phone does, where the peer is a bridge" in report


def test_an_accepting_link_without_a_route(tmp_path: Path) -> None:
    text = TEXT.partition("  - {from")[0]
    (doubt,) = load(tmp_path, text).warnings
    assert "no route takes calls from it: add {from: hq}" in str(doubt)


def test_the_report_says_who_may_call_and_what_rings(tmp_path: Path) -> None:
    report = plain_report(load(tmp_path))
    assert "taken as user hq from 198.51.100.7/32, 2001:db8::/32 to extension enc" in report
    assert "up to 32 digits, ended by # or 5 s of pause; phones ring 60 s" in report
    assert "calls from link hq ring sip:desk-{1}@192.0.2.30:5070;transport=tcp" in report
    assert SECRETS["BACK"] not in report


CALLERS: Final = TEXT.replace("username: hq, secret", "username: hq, caller_id: on, secret")


def acceptance_of(configuration: Configuration) -> Acceptance:
    link = parts.link("hq", configuration.links["hq"], ChallengeMemory(bytes))
    assert link.acceptance is not None
    return link.acceptance


def test_a_far_end_that_sends_who_calls(tmp_path: Path) -> None:
    loaded = load(tmp_path, CALLERS)
    acceptance = acceptance_of(loaded.configuration)
    assert acceptance.read("*4930*201") == ("4930", "201")
    assert acceptance.read("**201") == ("", "201")
    assert acceptance.read(f"*{'1' * 32}*{'2' * 32}") == ("1" * 32, "2" * 32)
    assert acceptance.limits.digits_max == 66
    for digits in ("201", "*4930*", f"**{'2' * 33}"):
        assert acceptance.read(digits) is None
    assert "not sent; that of calls from it is shown" in plain_report(loaded)


def test_without_callers_the_digits_are_the_number(configuration: Configuration) -> None:
    assert acceptance_of(configuration).read("*4930*201") == (None, "*4930*201")


def test_a_format_that_cannot_be_taken_apart(tmp_path: Path) -> None:
    wrong = "    caller_id: {format: '{caller}{called}#'}\n    accept:"
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, CALLERS.replace("    accept:", wrong))
    assert "links.hq.caller_id.format: expected {caller} and {called}" in str(caught.value)
