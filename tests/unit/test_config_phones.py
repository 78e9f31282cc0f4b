"""sip.phones, sip.tls and what belongs to them."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from bridge.config import ConfigurationError, Loaded, load_configuration
from bridge.config.report import plain_report
from bridge.iax2 import Format
from bridge.media.hold_music import FILE_OCTETS_MAX
from bridge.parts import hold_source, phone_settings, rtp_host, sip_settings
from bridge.sip.digest import Algorithm, ha1
from bridge.sip.sdes import Srtp
from tests.lab.certificates import self_signed
from tests.lab.wav import FRAMES, wav

STRONG = "Zk3vQ0nS8xW5tB1yR7uJ4mE9pL2c"
MD5, SHA = "0" * 32, "F" * 64
LEAST = (
    "links: {hq: {peer: hq.example.net, username: branch-7, secret: {env: HQ}}}\nemergency: none\n"
)
ENVIRONMENT = {"HQ": STRONG, "ALICE": STRONG, "MD5": MD5, "SHA": SHA, "WEAK": "1234"}
ALICE = "{user: alice, password: {env: ALICE}}"
STORED = "{user: bob, ha1_md5: {env: MD5}, ha1_sha256: {env: SHA}}"
Load = Callable[[str], Loaded]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def load_sip(sip: str) -> Loaded:
        path = tmp_path / "siax.yaml"
        path.write_text(f"{LEAST}sip: {{{sip}}}\n")
        return load_configuration(path, ENVIRONMENT)

    return load_sip


@pytest.fixture
def complaint(load: Load) -> Callable[[str], str]:
    def complaint_about(sip: str) -> str:
        with pytest.raises(ConfigurationError) as caught:
            load(sip)
        return "\n".join(f"{p.key}: {p.message}" for p in caught.value.problems)

    return complaint_about


Complaint = Callable[[str], str]


def test_phones_with_passwords_and_with_hashes(load: Load) -> None:
    configuration = load(f"phones: [{ALICE}, {STORED}], realm: r").configuration
    assert configuration.sip.digest_offered == ("sha-256", "md5")
    kept = phone_settings(configuration).kept
    assert kept[Algorithm.MD5, "alice"] == ha1(Algorithm.MD5, "alice", "r", STRONG)
    assert kept[Algorithm.SHA_256, "bob"] == SHA.lower()
    assert len(kept) == 4


def test_a_phone_may_have_its_own_rule_for_srtp(load: Load, complaint: Complaint) -> None:
    phone = ALICE.replace("}}", "}, srtp: required}")
    settings = sip_settings(load(f"srtp: off, phones: [{phone}, {STORED}]").configuration)
    assert settings.srtp_over("UDP", "alice") is Srtp.REQUIRED
    assert settings.srtp_over("TLS", "bob") is settings.srtp_over("TLS") is Srtp.OFF
    assert "off or optional" in complaint(f"phones: [{phone.replace('required', 'auto')}]")


def test_only_what_every_phone_has_is_offered(load: Load, complaint: Complaint) -> None:
    stored = "{user: bob, ha1_md5: {env: MD5}}"
    assert load(f"phones: [{ALICE}, {stored}]").configuration.sip.digest_offered == ("md5",)
    assert "every phone has" in complaint(f"phones: [{stored}], digest: [sha-256]")


@pytest.mark.parametrize(
    ("phone", "text"),
    [
        ("{user: a}", "sip.phones[0].ha1_sha256: expected a password, or else"),
        (
            "{user: a, password: {env: ALICE}, ha1_md5: {env: MD5}}",
            "ha1_sha256: expected a password",
        ),
        ("{user: a, ha1_md5: {env: SHA}}", "sip.phones[0].ha1_md5: expected 32 hexadecimal"),
        ("{user: a, ha1_sha256: {env: MD5}}", "sip.phones[0].ha1_sha256: expected 64 hexadecimal"),
        ("{user: 'a b', password: {env: ALICE}}", "sip.phones[0].user: expected a user name"),
        ("{user: a, password: {file: ~nobody-at-all/x}}", "sip.phones[0].password.file: expected"),
        ("{user: a, password: secret}", "sip.phones[0].password: a secret written into"),
        (f"{ALICE}, {ALICE}", "sip.phones: expected phones with different users"),
    ],
)
def test_what_is_wrong_with_a_phone(complaint: Complaint, phone: str, text: str) -> None:
    found = complaint(f"phones: [{phone}]")
    assert text in found
    assert STRONG not in found


def test_bounds_of_registrations(load: Load, complaint: Complaint) -> None:
    bounds = load("registration: {min_expires_s: 30, contacts: 2}").configuration.sip.registration
    assert (bounds.min_expires_s, bounds.max_expires_s, bounds.contacts) == (30, 3600, 2)
    for wrong in ("min_expires_s: 600, max_expires_s: 500", "min_expires_s: 3601"):
        text = complaint(f"registration: {{{wrong}}}")
        assert text == "sip.registration.max_expires_s: expected at least min_expires_s"


def test_doubts(load: Load) -> None:
    weak = load("allow: [192.0.2.0/24], phones: [{user: a, password: {env: WEAK}}]")
    assert any("sip.phones[0].password: can be guessed" in str(w) for w in weak.warnings)
    assert not any("nobody may call" in str(w) for w in load(f"phones: [{ALICE}]").warnings)


def test_the_report_tells_how_many_and_no_secret(load: Load) -> None:
    report = plain_report(load(f"phones: [{ALICE}, {STORED}]"))
    assert "2 with passwords (sha-256 or md5), up to 3600 s" in report
    assert STRONG not in report
    assert SHA not in report


def test_session_timers(load: Load, complaint: Complaint) -> None:
    settings = sip_settings(load("min_se_s: 120, session_expires_s: 600").configuration)
    assert (settings.min_se_s, settings.session_expires_s) == (120, 600)
    settings = sip_settings(load("").configuration)
    assert (settings.min_se_s, settings.session_expires_s) == (90, 1800)
    text = complaint("min_se_s: 2000")
    assert text == "sip.session_expires_s: expected at least min_se_s"
    assert "sip.min_se_s: expected a whole number from 90" in complaint("min_se_s: 89")


def test_hold_music(load: Load, complaint: Complaint, tmp_path: Path) -> None:
    assert hold_source(load("").configuration)(Format.ULAW) is None
    assert hold_source(load("hold_music: comfort").configuration)(Format.ULAW) is not None
    (tmp_path / "music.wav").write_bytes(wav(FRAMES[0]))
    source = hold_source(load("hold_music: {file: music.wav}").configuration)(Format.ULAW)
    assert source is not None
    assert source.next_frame() == FRAMES[0]
    (tmp_path / "long.wav").write_bytes(wav(bytes(FILE_OCTETS_MAX)))
    (tmp_path / "other.wav").write_bytes(b"OggS")
    for wrong, text in (
        ("{file: long.wav}", "expected a file of 16 MiB at most"),
        ("{file: /dev/zero}", "expected a file of 16 MiB at most"),
        ("{file: other.wav}", "the file cannot be played: expected a WAV file"),
        ("{file: absent.wav}", "the file cannot be read: No such file or directory"),
        ("{file: .}", "the file cannot be read: Is a directory"),
        ("music.wav", "expected comfort, or {file: PATH} of a WAV file in G.711"),
    ):
        assert complaint(f"hold_music: {wrong}") == f"sip.hold_music: {text}"


@pytest.mark.parametrize(
    ("listen", "host"),
    [
        ("'udp://192.0.2.1', 'tls://192.0.2.1', 'udp://[2001:db8::1]'", "192.0.2.1"),
        ("'udp://192.0.2.1', 'udp://192.0.2.2'", "0.0.0.0"),
        ("'udp://[::1]', 'udp://[2001:db8::1]'", "::"),
    ],
)
def test_where_audio_of_calls_to_phones_arrives(
    load: Load, tmp_path: Path, listen: str, host: str
) -> None:
    self_signed(tmp_path)
    tls = "tls: {certificate: own.pem, key: own.key}"
    assert rtp_host(load(f"listen: [{listen}], {tls}").configuration) == host


def test_tls(load: Load, complaint: Complaint, tmp_path: Path) -> None:
    listen = "listen: ['tls://0.0.0.0']"
    assert "sip.tls: is missing" in complaint(listen)
    self_signed(tmp_path)
    self_signed(tmp_path, "other")
    own = "certificate: own.pem, key: own.key"
    sip = load(f"{listen}, tls: {{{own}, client_ca: other.pem}}").configuration.sip
    assert sip.tls is not None
    assert sip.tls.client_ca == tmp_path / "other.pem"
    for wrong, text in (
        ("certificate: own.pem, key: other.key", "sip.tls.key: expected a key"),
        ("certificate: none.pem, key: own.key", "sip.tls.certificate: the file cannot be read"),
        ("certificate: '', key: own.key", "sip.tls.certificate: expected a file"),
        (f"{own}, client_ca: own.key", "sip.tls.client_ca: expected certificates"),
    ):
        assert text in complaint(f"{listen}, tls: {{{wrong}}}")


def test_a_key_with_a_passphrase_is_refused_and_nobody_asked(
    complaint: Complaint, tmp_path: Path
) -> None:
    self_signed(tmp_path)
    command = ["openssl", "pkey", "-in", f"{tmp_path}/own.key", "-out", f"{tmp_path}/locked.key"]
    subprocess.run([*command, "-aes256", "-passout", "pass:x"], check=True, capture_output=True)
    text = complaint("tls: {certificate: own.pem, key: locked.key}")
    assert "sip.tls.key: expected a key in PEM without a passphrase" in text
