from pathlib import Path

import pytest

from bridge.config import load_configuration
from bridge.config.secret import new_secret

SECRET = new_secret()
QUIET = r"""
sip: {allow: [192.0.2.0/24]}
links: {hq: {peer: hq, username: b, secret: {env: HQ}}}
dialplan:
  - {match: '9(\d+)', link: hq, dial: '{1}'}
emergency: none
"""
NORTH = "north: {peer: n, username: b, secret: {env: %s}}"


def warnings_of(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "siax.yaml"
    path.write_text(text)
    loaded = load_configuration(path, {"HQ": SECRET, "NORTH": new_secret()})
    return [str(warning).removeprefix(f"{path}:") for warning in loaded.warnings]


def test_an_ordinary_configuration_is_quiet(tmp_path: Path) -> None:
    assert warnings_of(tmp_path, QUIET) == []


@pytest.mark.parametrize(
    ("old", "new", "warning"),
    [
        ("[192.0.2.0/24]", "[]", "2: sip.allow: empty, and no phones: nobody may call"),
        ("[192.0.2.0/24]", "[0.0.0.0/0]", "2: sip.allow[0]: everybody who reaches"),
        ("[192.0.2.0/24]", "['::/0']", "2: sip.allow[0]: everybody who reaches"),
        ("allow:", "trust_identity: ['::/0'], allow:", "2: sip.trust_identity: every phone"),
        ("allow:", "rtp_ports: 4000-5000, allow:", "2: sip.rtp_ports: SIP or IAX2 has its own"),
        ("allow:", "rtp_ports: 5060-5999, allow:", "2: sip.rtp_ports: SIP or IAX2 has its own"),
        ("allow:", "srtp: required, allow:", "2: sip.srtp: over UDP and TCP the keys of the audio"),
        (
            "links:",
            "metrics: {listen: 192.0.2.9}\nlinks:",
            "3: metrics.listen: who reaches it learns",
        ),
        ("peer: hq", "peer: '[2001:db8::1]'", "3: links.hq.peer: IPv6, but iax.bind is IPv4"),
        ("username:", "dialing: {terminator: '1'}, username:", "3: links.hq.dialing.terminator: n"),
        ("username:", "dialing: {start_ms: [9, 9]}, username:", "3: links.hq.dialing.start_ms: th"),
        (r"9(\d+)", r"9(\d+)+", "5: dialplan[0].match: repetitions within or after one another"),
        (r"9(\d+)", r"9(\d{26})", "5: dialplan[0].dial: never fits the 26 slots of link hq"),
        (
            "username:",
            "caller_id: {send: true}, dialing: {slots: 14}, username:",
            "5: dialplan[0].dial: over 10 digits of a caller do not fit the 14 slots of link hq",
        ),
        (
            "username:",
            "caller_id: {send: true}, dialing: {slots: 3}, username:",
            "5: dialplan[0].dial: never fits the 3 slots of link hq",
        ),
        ("'{1}'", "'{1}#'", "5: dialplan[0].dial: holds the terminator of link hq"),
        ("links: {hq", "links: {%s, hq" % (NORTH % "NORTH"), "3: links.north: no route leads"),
        ("links: {hq", "links: {%s, hq" % (NORTH % "HQ"), "3: links.hq.secret: the same secret as"),
    ],
)
def test_doubts_are_warnings_with_their_place(
    tmp_path: Path, old: str, new: str, warning: str
) -> None:
    found = warnings_of(tmp_path, QUIET.replace(old, new))
    assert any(text.startswith(warning) for text in found), found


def test_metrics_for_this_machine_alone_are_no_doubt(tmp_path: Path) -> None:
    for listen in ("127.0.0.1:9464", "'[::1]:9464'"):
        assert warnings_of(tmp_path, f"metrics: {{listen: {listen}}}" + QUIET) == []


def test_no_routes_at_all(tmp_path: Path) -> None:
    text = QUIET.partition("dialplan")[0] + "emergency: none\n"
    assert warnings_of(tmp_path, text) == ["2: dialplan: empty: every call gets 404"]


def test_a_route_behind_the_same_expression(tmp_path: Path) -> None:
    text = QUIET.replace("emergency", r"  - {match: '9(\d+)', link: hq}" + "\nemergency")
    assert warnings_of(tmp_path, text) == [
        "6: dialplan[1].match: never reached: dialplan[0] is the same"
    ]


def test_a_secret_file_that_others_can_read(tmp_path: Path) -> None:
    secret = tmp_path / "hq"
    secret.write_text(SECRET)
    secret.chmod(0o644)
    text = QUIET.replace("{env: HQ}", "{file: hq}")
    assert warnings_of(tmp_path, text) == [
        "3: links.hq.secret: file hq is open to every user of this machine: chmod 600"
    ]
    secret.chmod(0o600)
    assert warnings_of(tmp_path, text) == []
