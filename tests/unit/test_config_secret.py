import copy
import os
import pickle
import stat
from pathlib import Path

import pytest

from bridge.config.secret import (
    Secret,
    SecretError,
    checked,
    measure_strength,
    new_secret,
    secret_from_environment,
    secret_from_file,
    write_new_secret,
)

STRONG = "Zk3vQ0nS8xW5tB1yR7uJ4mE9pL2c"


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ("s3cr3t-md5", "shorter than 22"),
        ("Zk3vQ0nS8xW5tB1yR7uJ4", "shorter than 22"),
        ("1234567890123456789012345678901234567", "under 128 bits"),
        ("abcdefghijklmnopqrstuvwxyz", "under 128 bits"),
        ("0123456789abcdef0123456789abcde", "under 128 bits"),
        ("a" * 60, "repeats itself"),
        ("abcdefg1" * 4, "repeats itself"),
        (STRONG + ";" + STRONG, "';'"),
    ],
)
def test_weak_secrets(value: str, part: str) -> None:
    weakness = measure_strength(value).weakness
    assert weakness is not None
    assert part in weakness


@pytest.mark.parametrize(
    "value",
    [
        STRONG,
        "Zk3vQ0nS8xW5tB1yR7uJ4m",
        "9f86d081884c7d659a2feaa0c55ad015",
        "qwpzlfkdjvnbtyghrmxascoieuqw",
        "correct horse battery staple!",
        "31415926535897932384626433832795028841971",
    ],
)
def test_strong_secrets(value: str) -> None:
    assert measure_strength(value).weakness is None


def test_bits_follow_the_alphabet_used() -> None:
    assert measure_strength("0" * 10).bits == pytest.approx(33.2, abs=0.1)
    assert measure_strength("9f86d081884c7d659a2feaa0c55ad015").bits == 128
    assert measure_strength("aA0-" * 8).bits == 6 * 32


def test_new_secrets_are_strong_and_fit_asterisk() -> None:
    for _ in range(200):
        secret = new_secret()
        assert measure_strength(secret).weakness is None
        assert len(secret) == 43
        assert ";" not in secret
        assert checked(secret) == secret


def test_a_secret_shows_nowhere() -> None:
    secret = Secret(STRONG, "file x")
    for shown in (repr(secret), str(secret), f"{secret}", f"{[secret]}", f"{secret.strength}"):
        assert STRONG not in shown
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    with pytest.raises(TypeError):
        copy.copy(secret)
    assert secret.reveal() == STRONG


def test_secrets_compare_by_value() -> None:
    assert Secret("a", "x") == Secret("a", "y")
    assert Secret("a", "x") != Secret("b", "x")
    assert Secret("a", "x") != "a"
    assert len({Secret("a", "x"), Secret("a", "y")}) == 1


def test_a_file_holds_one_line(tmp_path: Path) -> None:
    path = tmp_path / "hq"
    for text in (STRONG, STRONG + "\n", STRONG + "\r\n"):
        path.write_text(text)
        assert secret_from_file(path, "hq").reveal() == STRONG
    assert secret_from_file(path, "secrets/hq").origin == "file secrets/hq"


@pytest.mark.parametrize(
    ("octets", "part"),
    [
        (b"", "empty"),
        (b"\n", "empty"),
        (b"a\nb\n", "one line"),
        (b"a\x00b", "printable"),
        (b" a", "space"),
        (b"\xff", "UTF-8"),
        (b"a" * 5000, "at most"),
    ],
)
def test_a_file_that_holds_no_secret(tmp_path: Path, octets: bytes, part: str) -> None:
    path = tmp_path / "hq"
    path.write_bytes(octets)
    with pytest.raises(SecretError, match=part) as caught:
        secret_from_file(path, "hq")
    assert caught.value.key == "file"


def test_a_file_that_is_not_there_or_none(tmp_path: Path) -> None:
    with pytest.raises(SecretError, match="siax keygen -o"):
        secret_from_file(tmp_path / "hq", "hq")
    with pytest.raises(SecretError, match="regular file"):
        secret_from_file(tmp_path, "hq")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(SecretError, match="cannot be read"):
        secret_from_file(tmp_path / "loop", "loop")


def test_a_pipe_without_a_writer_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SecretError, match="regular file"):
        secret_from_file(tmp_path / "pipe", "pipe")


@pytest.mark.parametrize(("mode", "is_open"), [(0o600, False), (0o640, False), (0o644, True)])
def test_files_open_to_others_are_noticed(tmp_path: Path, mode: int, *, is_open: bool) -> None:
    path = tmp_path / "hq"
    path.write_text(STRONG)
    path.chmod(mode)
    assert secret_from_file(path, "hq").open_to_others is is_open


def test_the_environment() -> None:
    assert secret_from_environment("HQ", {"HQ": STRONG}).reveal() == STRONG
    for environment in ({}, {"HQ": ""}, {"HQ": "a\nb"}):
        with pytest.raises(SecretError) as caught:
            secret_from_environment("HQ", environment)
        assert caught.value.key == "env"


def test_a_new_file_is_for_its_owner_alone_and_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "hq"
    write_new_secret(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    secret = secret_from_file(path, "hq")
    assert secret.strength.weakness is None
    with pytest.raises(SecretError, match="not overwritten"):
        write_new_secret(path)
    assert secret_from_file(path, "hq") == secret
    with pytest.raises(SecretError, match="cannot be written"):
        write_new_secret(tmp_path / "no" / "hq")
