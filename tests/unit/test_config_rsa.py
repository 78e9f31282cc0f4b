"""auth: rsa in a configuration: what it needs, what is wrong with it, and what is said of it."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from bridge import parts
from bridge.config import ConfigurationError, Loaded, load_configuration
from bridge.config.report import plain_report
from bridge.iax2.rsa import is_signed, rsa_result

STRONG = "Zk3vQ0nS8xW5tB1yR7uJ4mE9pL2c"
KEY = rsa.generate_private_key(65537, 1024)


def load(folder: Path, link: str) -> Loaded:
    """Load a configuration of one link beside its key."""
    pem = KEY.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    key = folder / "branch-7.key"
    if not key.exists():
        key.write_bytes(pem)
        key.chmod(0o600)
    path = folder / "siax.yaml"
    path.write_text(
        "sip: {allow: [192.0.2.0/24]}\n"
        f"links: {{hq: {{peer: hq, username: branch-7, secret: {{env: HQ}}, {link}}}}}\n"
        "dialplan: [{match: '9(.+)', link: hq, dial: '{1}'}]\n"
        "emergency: none\n"
    )
    return load_configuration(path, {"HQ": STRONG, "BACK": STRONG[::-1]})


def test_the_key_is_read_and_signs(tmp_path: Path) -> None:
    loaded = load(tmp_path, "auth: rsa, private_key: {file: branch-7.key}")
    assert not loaded.warnings
    read = loaded.configuration.links["hq"].private_key
    assert read is not None
    assert is_signed(rsa_result(b"1", read.key), b"1", KEY.public_key())
    assert "RSA" not in repr(loaded)


def test_the_report_says_what_it_is_worth(tmp_path: Path) -> None:
    report = plain_report(load(tmp_path, "auth: rsa, private_key: {file: branch-7.key}"))
    assert "a signature by the RSA key in file branch-7.key, inside the encryption" in report
    assert "of 1024 bits" in report
    assert "of the secret itself, inside the encryption (MD5)" in plain_report(load(tmp_path, ""))


def test_a_key_that_all_can_read_is_a_warning(tmp_path: Path) -> None:
    load(tmp_path, "")
    (tmp_path / "branch-7.key").chmod(0o644)
    loaded = load(tmp_path, "auth: rsa, private_key: {file: branch-7.key}")
    (warning,) = loaded.warnings
    assert warning.key == "links.hq.private_key"
    assert "chmod 600" in warning.message


@pytest.mark.parametrize(
    ("link", "complaint"),
    [
        ("auth: rsa", "links.hq.private_key: is missing: auth: rsa signs with the RSA key"),
        ("private_key: {file: branch-7.key}", "links.hq.private_key: auth: md5 signs nothing"),
        (
            "auth: rsa, private_key: {file: siax.yaml}",
            "links.hq.private_key.file: no private key in PEM",
        ),
        (
            "auth: rsa, private_key: {file: absent.key}",
            "links.hq.private_key.file: the file does not exist (make one with: astgenkey -n",
        ),
        ("auth: rsa, private_key: {env: KEY}", "links.hq.private_key: expected {file: PATH}"),
        ("auth: rsa, private_key: branch-7.key", "links.hq.private_key: expected {file: PATH}"),
        ("auth: plaintext", "links.hq.auth: expected md5 or rsa"),
    ],
)
def test_mistakes(tmp_path: Path, link: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, link)
    (problem,) = caught.value.problems
    assert f"{problem.key}: {problem.message}".startswith(complaint)


ACCEPT = "accept: {username: hq, secret: {env: BACK}, from: [192.0.2.7], peer_public_key: %s}"


def test_the_key_of_a_far_end_that_calls_checks_its_signature(tmp_path: Path) -> None:
    pem = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "hq.pub").write_bytes(pem)
    loaded = load(tmp_path, ACCEPT % "{file: hq.pub}")
    (user,) = parts.users(loaded.configuration)
    assert user.public_key is not None
    assert is_signed(rsa_result(b"1", KEY), b"1", user.public_key)
    assert "; signed with the RSA key of file hq.pub; up to 32 digits" in plain_report(loaded)


def test_without_one_the_secret_is_enough(tmp_path: Path) -> None:
    loaded = load(tmp_path, ACCEPT % "null")
    (user,) = parts.users(loaded.configuration)
    assert user.public_key is None
    assert "signed with" not in plain_report(loaded)


@pytest.mark.parametrize(
    ("key", "complaint"),
    [
        ("hq.pub", "peer_public_key: expected {file: PATH}"),
        ("{file: hq.pub}", "peer_public_key.file: the file does not exist"),
        ("{file: branch-7.key}", "peer_public_key.file: no public key in PEM"),
    ],
)
def test_what_is_no_key_of_a_far_end(tmp_path: Path, key: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, ACCEPT % key)
    assert f"links.hq.accept.{complaint}" in str(caught.value)
