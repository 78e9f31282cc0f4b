from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from bridge.config import (
    Configuration,
    ConfigurationError,
    HostPort,
    Loaded,
    Secret,
    load_configuration,
)
from bridge.config.dialing import Dialing
from bridge.dialing.envelope import Envelope
from bridge.dialing.plan import DigitLimits
from bridge.iax2.cipher import Sealer
from bridge.iax2.constants import FrameType
from bridge.iax2.frames import FullFrame, MiniFrame
from bridge.media.codecs import FORMAT_OF_NAME, frame_octets

STRONG = "Zk3vQ0nS8xW5tB1yR7uJ4mE9pL2c"
LEAST = (
    "links: {hq: {peer: hq.example.net, username: branch-7, secret: {env: HQ}}}\nemergency: none\n"
)
FROM_THE_ISSUE = r"""
site: branch-7
sip:
  listen: ["udp://0.0.0.0:5060", "tcp://0.0.0.0:5060"]
  media_address: 192.0.2.10          # in SDP; default: the address the phone reached
  rtp_ports: 20000-29999
  allow: ["192.0.2.0/24"]            # sources that may call without digest; empty: nobody
iax:
  bind: "0.0.0.0:4569"
links:
  hq:
    peer: hq.example.net:4569
    username: branch-7
    secret: {file: secrets/hq}
    auth: md5
    extension: enc
    codecs: [ulaw, alaw]
    dialing: {slots: 26, slot_ms: 60, start_ms: [200, 600], terminator: "#"}
dialplan:
  - {match: '^9(\d+)$', link: hq, dial: '{1}'}
emergency: none
"""
Load = Callable[[str], Loaded]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    (tmp_path / "secrets").mkdir()
    secret = tmp_path / "secrets" / "hq"
    secret.touch(mode=0o600)
    secret.write_text(STRONG)

    def load_text(text: str) -> Loaded:
        path = tmp_path / "siax.yaml"
        path.write_text(text)
        return load_configuration(path, {"HQ": STRONG})

    return load_text


@pytest.fixture
def complaints(load: Load, tmp_path: Path) -> Callable[[str], list[str]]:
    def complaints_about(text: str) -> list[str]:
        with pytest.raises(ConfigurationError) as caught:
            load(text)
        return [str(problem).removeprefix(f"{tmp_path}/") for problem in caught.value.problems]

    return complaints_about


Complaints = Callable[[str], list[str]]


def test_the_example_of_the_requirement_loads_without_a_doubt(load: Load) -> None:
    loaded = load(FROM_THE_ISSUE)
    assert loaded.warnings == ()
    link = loaded.configuration.links["hq"]
    assert link.peer == HostPort("hq.example.net", 4569)
    assert link.secret == Secret(STRONG, "")
    assert link.envelope.start_ms == (200, 600)
    assert link.limits.digits_max == 25


def test_the_least_has_all_the_defaults_of_the_example(load: Load, tmp_path: Path) -> None:
    least = load(LEAST).configuration
    full = load(FROM_THE_ISSUE).configuration
    assert least.sip.listen == full.sip.listen
    assert least.sip.rtp_ports == full.sip.rtp_ports
    assert least.iax == full.iax
    for link in (least.links["hq"], full.links["hq"]):
        assert link.envelope == Envelope(26, 60, (200, 600), "#")
        assert link.limits == DigitLimits(25, "#")
    assert least.links["hq"] == full.links["hq"].model_copy(update={"dialing": Dialing()})
    assert least.links["hq"].answer == "after-dialing"
    assert least.links["hq"].setup_timeout_s == 8
    assert least.links["hq"].qualify_s == 60
    assert (least.sip.rtp_timeout_s, least.sip.hold_timeout_s, least.sip.tones) == (60, 3600, "us")
    assert least.sip.media_address is None
    assert least.sip.allow == ()
    assert least.state_dir == tmp_path / "state"


def test_a_link_that_sends_the_caller_has_more_slots_by_default(load: Load) -> None:
    for more, slots in (
        ("caller_id: {send: true}", 44),
        ("caller_id: {send: true}, dialing: {slots: 30, slot_ms: 50}", 30),
        ("caller_id: {send: true}, dialing: {terminator: '*'}", None),
        ("caller_id: {send: true, format: '#{caller}#{called}*'}, dialing: {terminator: '*'}", 44),
        ("caller_id: {send: false, format: nonsense}, dialing: {terminator: '*'}", 26),
        ("caller_id: {format: 'A{caller}A{called}#'}", 26),
    ):
        text = LEAST.replace("{env: HQ}", f"{{env: HQ}}, {more}")
        if slots is None:
            with pytest.raises(ConfigurationError, match="the last character"):
                load(text)
            continue
        link = load(text).configuration.links["hq"]
        assert link.envelope.slots == slots
        assert (link.limits.caller_format is not None) == link.caller_id.send


@pytest.mark.parametrize("codecs", ["g722, ulaw, alaw", "gsm, ilbc", "g729", "ilbc"])
def test_codecs_of_one_size_may_stand_together(load: Load, codecs: str) -> None:
    text = LEAST.replace("{env: HQ}", f"{{env: HQ}}, codecs: [{codecs}]")
    link = load(text).configuration.links["hq"]
    assert ", ".join(link.codecs) == codecs
    sealer = Sealer(bytes(16))
    formats = [FORMAT_OF_NAME[codec] for codec in link.codecs]
    voice = [bytes(frame_octets(each)) for each in formats]
    minis = [MiniFrame(5, 20, payload).encode() for payload in voice]
    fulls = [FullFrame(5, 6, 0, 0, 0, FrameType.VOICE, 4, payload).encode() for payload in voice]
    assert len({len(sealer.seal_mini(mini)) for mini in minis}) == 1
    assert len({len(sealer.seal_full(full)) for full in fulls}) == 1


def test_a_caller_that_fits_no_format(complaints: Complaints) -> None:
    text = LEAST.replace("{env: HQ}", "{env: HQ}, caller_id: {send: true, format: '{called}#'}")
    (complaint,) = complaints(text)
    assert "links.hq.caller_id.format: expected {caller} and {called}" in complaint


def test_a_service_manager_may_name_the_state_folder(tmp_path: Path) -> None:
    path = tmp_path / "siax.yaml"
    path.write_text(LEAST)
    environment = {"HQ": STRONG, "STATE_DIRECTORY": "/var/lib/siax"}
    assert load_configuration(path, environment).configuration.state_dir == Path("/var/lib/siax")
    path.write_text(LEAST + "state_dir: here")
    assert load_configuration(path, environment).configuration.state_dir == tmp_path / "here"


def test_a_configuration_is_a_frozen_snapshot(load: Load) -> None:
    configuration = load(FROM_THE_ISSUE).configuration
    with pytest.raises(ValidationError, match="frozen"):
        configuration.site = "x"  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        configuration.links["hq"].dialing.slots = 3  # type: ignore[misc]
    with pytest.raises(TypeError):
        configuration.links["x"] = configuration.links["hq"]  # type: ignore[index]


def test_the_secret_is_in_no_repr(load: Load) -> None:
    loaded = load(FROM_THE_ISSUE)
    for shown in (repr(loaded), str(loaded.configuration), str(loaded.configuration.links["hq"])):
        assert STRONG not in shown


def test_all_errors_at_once_with_line_key_and_expectation(complaints: Complaints) -> None:
    text = r"""site: branch 7
sip:
  media_adress: 192.0.2.10
  rtp_ports: 1
  rtp_timeout_s: 1
  slots: 3
links:
  hq:
    peer: hq:0
    secret: {file: nope}
    codecs: [ulaw, opus]
    dialing:
      slots: 1
      start_ms: [600, 200]
      terminator: "##"
      slots: 2
  bad name: {peer: a, username: b, secret: {env: NOPE}}
dialplan:
  - {match: '9(\d+', link: hq, dial: '{1}'}
  - {match: '9(\d+)', link: hqq, dial: '{2}'}
  - 7
emergency: none
"""
    expected = [
        "1: site: expected a name",
        "3: sip.media_adress: unknown key; did you mean 'media_address'?",
        "4: sip.rtp_ports: expected a range of UDP ports",
        "5: sip.rtp_timeout_s: expected seconds from 5 to 86400",
        "6: sip.slots: unknown key here; it belongs below links.NAME.dialing",
        "8: links.hq.username: is missing: the name that the far end knows this site by",
        "9: links.hq.peer: expected a host or host:port",
        "10: links.hq.secret.file: the file does not exist (make one with: siax keygen -o ",
        "11: links.hq.codecs[1]: expected one of ulaw, alaw, g722, gsm, ilbc, g729",
        "13: links.hq.dialing.slots: expected a whole number from 2 to 128",
        "14: links.hq.dialing.start_ms: expected [shortest, longest] in ms",
        "15: links.hq.dialing.terminator: expected one DTMF digit",
        "16: links.hq.dialing.slots: duplicate key, first given in line 13",
        "17: links.bad name: expected a link name",
        "17: links.bad name.secret.env: the environment variable is not set",
        "19: dialplan[0].match: no regular expression of Python: missing )",
        "20: dialplan[1].dial: no group {2}: this expression has {0}, {1}",
        "20: dialplan[1].link: expected the name of a link (bad name, hq)",
        "21: dialplan[2]: expected keys and values below it",
    ]
    found = complaints(text)
    assert len(found) == len(expected)
    for complaint, beginning in zip(found, expected, strict=True):
        assert complaint.startswith(f"siax.yaml:{beginning}")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("emergency: none", "siax.yaml:1: links: is missing: at least one link, by its name"),
        ("{links: {}, emergency: none}", "siax.yaml:1: links: expected at least one link"),
        ("{links: [], emergency: none}", "siax.yaml:1: links: expected names and, below each, its"),
        (
            "",
            "siax.yaml:1: emergency: is missing: {numbers: [112, 911], route: TRUNK}, the numbers",
        ),
        ("- a", "siax.yaml:1: expected keys and values below it"),
        ("hello", "siax.yaml:1: expected keys and values below it"),
        (LEAST + "sip: []", "siax.yaml:3: sip: expected keys and values below it"),
        (LEAST + "sip: {allow: 192.0.2.1}", "siax.yaml:3: sip.allow: expected a list"),
        (LEAST + "encryption: off", "siax.yaml:3: encryption: unknown key; expected one of"),
        (LEAST + "bind: x", "siax.yaml:3: bind: unknown key here; it belongs below iax"),
        (LEAST + "sip: {site: x}", "siax.yaml:3: sip.site: unknown key here; it belongs at the"),
        (LEAST + "sip: {listen: []}", "siax.yaml:3: sip.listen: expected a list of addresses"),
        (LEAST + "nonsense:", "siax.yaml:3: nonsense: unknown key"),
        (LEAST + "state_dir: ''", "siax.yaml:3: state_dir: expected a folder"),
        (LEAST + "state_dir: ~nobody-at-all", "siax.yaml:3: state_dir: expected a folder; '~'"),
        (
            "{links: {accept: {username: x}}, emergency: none}",
            "siax.yaml:1: links.accept.peer: is m",
        ),
        (LEAST.replace("hq: {", "dialing: {slots: 9, "), "siax.yaml:1: links.dialing.slots: unk"),
        (LEAST + "dialplan: [{match: '', link: hq}]", "siax.yaml:3: dialplan[0].match: expected a"),
        (LEAST + "dialplan: [{match: '[[a]', link: hq}]", "siax.yaml:3: dialplan[0].match: no reg"),
        (LEAST + "dialplan: [{match: a, link: hq, dial: x}]", "siax.yaml:3: dialplan[0].dial: exp"),
        (LEAST + "dialplan: [{match: a, link: hq, dial: '{1'}]", "siax.yaml:3: dialplan[0].dial: "),
    ],
)
def test_single_mistakes(complaints: Complaints, text: str, complaint: str) -> None:
    assert complaints(text)[0].startswith(complaint)


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("codecs: [ulaw, ulaw]", "links.hq.codecs: expected a list of codecs, each once"),
        ("codecs: []", "links.hq.codecs: expected a list of codecs, each once"),
        ("codecs: [ulaw, gsm]", "links.hq.codecs: expected codecs whose frames have one size"),
        ("codecs: [g729, ilbc]", "links.hq.codecs: expected codecs whose frames have one size"),
        ("dialing: {start_ms: [1, 2, 3]}", "links.hq.dialing.start_ms: expected [shortest"),
        ("dialing: {start_ms: [a, 2]}", "links.hq.dialing.start_ms: expected [shortest"),
        ("dialing: {start_ms: [0, 5001]}", "links.hq.dialing.start_ms: expected [shortest"),
        ("dialing: {start_ms: 5}", "links.hq.dialing.start_ms: expected [shortest"),
        ("dialing: {terminator: E}", "links.hq.dialing.terminator: expected one DTMF digit"),
    ],
)
def test_single_mistakes_of_a_link(complaints: Complaints, setting: str, complaint: str) -> None:
    (found,) = complaints(LEAST.replace("username:", f"{setting}, username:"))
    assert found.startswith(f"siax.yaml:1: {complaint}")


def test_a_key_without_a_value_is_not_there(load: Load) -> None:
    assert load(LEAST + "sip:\n  allow:\ndialplan:\n").configuration.dialplan == ()


@pytest.mark.parametrize("value", ["off", "none", "false", "plaintext", ""])
def test_no_key_and_no_value_turns_encryption_off(load: Load, value: str) -> None:
    for key in ("encryption", "encrypt", "cipher", "auth", "forceencryption", "aes"):
        text = LEAST.replace("username:", f"{key}: '{value}', username:")
        with pytest.raises(ConfigurationError):
            load(text)


def test_a_literal_secret_needs_permission_and_is_never_shown(
    load: Load, complaints: Complaints
) -> None:
    literal = LEAST.replace("{env: HQ}", STRONG)
    (refused,) = complaints(literal)
    assert "allow_inline_secrets: true" in refused
    assert STRONG not in refused
    loaded = load("allow_inline_secrets: true\n" + literal)
    assert loaded.configuration.links["hq"].secret.reveal() == STRONG


@pytest.mark.parametrize("secret", ["{}", "[]", "{file: a, env: b}", "{fil: a}", "{file: }", ""])
def test_a_secret_has_one_source(complaints: Complaints, secret: str) -> None:
    (complaint,) = complaints(LEAST.replace("{env: HQ}", secret))
    assert "{file: PATH}" in complaint


@pytest.mark.parametrize("weak", ["s3cr3t-md5", STRONG + ";"])
def test_a_weak_secret_needs_permission_of_its_link(
    load: Load, complaints: Complaints, weak: str
) -> None:
    text = "allow_inline_secrets: true\n" + LEAST.replace("{env: HQ}", f'"{weak}"')
    (refused,) = complaints(text)
    assert "allow_weak_secret: true" in refused
    assert weak not in refused
    allowed = load(text.replace("username:", "allow_weak_secret: true, username:"))
    assert allowed.configuration.links["hq"].secret.reveal() == weak
    assert any("allow_weak_secret lets it pass" in str(doubt) for doubt in allowed.warnings)


def test_errors_never_quote_values_of_the_file(complaints: Complaints) -> None:
    text = LEAST.replace("hq.example.net", "'hunter2 x'").replace("branch-7", "'hunter2 x'")
    text += "site: hunter2 x\nsip: {tones: hunter2, rtp_ports: hunter2, rtp_timeout_s: hunter2}\n"
    assert len(complaints(text)) == 6
    assert "hunter2" not in str(complaints(text))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    def complaint(path: Path) -> str:
        with pytest.raises(ConfigurationError) as caught:
            load_configuration(path)
        return str(caught.value)

    assert "No such file" in complaint(tmp_path / "none.yaml")
    assert "directory" in complaint(tmp_path)
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"site: a\nsite: M\xfcnchen\n")
    assert complaint(latin) == f"{latin}:2: expected UTF-8"
    large = tmp_path / "large.yaml"
    large.write_bytes(b"#" * 1_000_001)
    assert "larger than" in complaint(large)
    deep = tmp_path / "deep.yaml"
    deep.write_text("[" * 1_000)
    assert "nested too deeply" in complaint(deep)


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "siax.yaml"
    path.write_text("\ufeff" + LEAST)
    assert load_configuration(path, {"HQ": STRONG}).configuration.site == "siax"


YAML_TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["site", "sip", "links", "hq", "secret", "dialplan", "match", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(YAML_TREES)
def test_any_tree_loads_or_gives_a_configuration_error(load: Load, tree: object) -> None:
    try:
        loaded = load(repr(tree).replace("None", "null"))
    except ConfigurationError as error:
        assert error.problems  # noqa: PT017  both outcomes are allowed
    else:
        assert isinstance(loaded.configuration, Configuration)
