"""What packaging/pjsua2 does before and after the compilers: sources, keys, wheels."""

import base64
import hashlib
import importlib
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PACKAGING = Path(__file__).resolve().parents[2] / "packaging"
MODULES = (
    "compiler",
    "distribution_source",
    "git_source",
    "progress",
    "recipe",
    "sources",
    "wheel",
)


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ModuleType]]:
    """The scripts import each other by bare names, which no other test should see."""
    monkeypatch.syspath_prepend(PACKAGING)
    monkeypatch.syspath_prepend(PACKAGING / "pjsua2")
    yield importlib.import_module
    for name in MODULES:
        sys.modules.pop(name, None)


class Heard:
    """Stands in for Progress and keeps what was said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def route(load: Callable[[str], ModuleType], content: bytes | None) -> Any:  # noqa: ANN401  # a module's tuple
    error = load("progress").SetupError

    def fetch(scratch: Path, _progress: object) -> Path:
        if content is None:
            raise error("the network is closed")
        archive = scratch / "pjproject.tar.xz"
        archive.write_bytes(content)
        return archive

    return ("somewhere", fetch)


def git(folder: Path, *arguments: str) -> str:
    settings = ("-c", "user.name=x", "-c", "user.email=x@example.net", "-c", "commit.gpgsign=false")
    done = subprocess.run(
        ["git", "-C", folder, *settings, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def upstream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with the tag 2.17; git is kept from the user's own settings."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    folder = tmp_path / "upstream"
    folder.mkdir()
    git(folder, "init", "--quiet")
    (folder / "version.mak").write_text("export PJ_VERSION_MAJOR  := 2\n")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message=x")
    git(folder, "tag", "--annotate", "--message=x", "2.17")
    return folder


def test_the_next_route_is_taken_when_one_fails(
    load: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources, heard = load("sources"), Heard()
    routes = {"git": route(load, None), "distribution": route(load, b"archive")}
    monkeypatch.setattr(sources, "ROUTES", routes)
    found = sources.find(tmp_path, heard)
    digest = hashlib.sha256(b"archive").hexdigest()
    assert found.path == tmp_path / f"pjproject-distribution-{digest}.tar.xz"
    assert any("the network is closed" in line for line in heard.lines)
    assert any(digest in line for line in heard.lines)


def test_a_kept_source_is_used_again_unless_it_was_changed(
    load: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = load("sources")
    monkeypatch.setattr(sources, "ROUTES", {"git": route(load, b"first")})
    kept = sources.find(tmp_path, Heard()).path
    monkeypatch.setattr(sources, "ROUTES", {"git": route(load, b"second")})
    assert sources.find(tmp_path, Heard()).path == kept
    kept.write_bytes(b"changed")
    assert sources.find(tmp_path, Heard()).path != kept


def test_without_any_route_each_reason_is_told_and_a_way_out(
    load: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = load("sources")
    routes = {"git": route(load, None), "distribution": route(load, None)}
    monkeypatch.setattr(sources, "ROUTES", routes)
    with pytest.raises(load("progress").SetupError) as caught:
        sources.find(tmp_path, Heard())
    assert str(caught.value).count("the network is closed") == 2
    assert "SIAX_PJPROJECT=PATH" in str(caught.value)


def test_a_named_source_must_be_there(load: Callable[[str], ModuleType], tmp_path: Path) -> None:
    with pytest.raises(load("progress").SetupError, match="no folder or archive"):
        load("sources").named_source(tmp_path / "absent")


def test_a_named_folder_is_known_by_its_files(
    load: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    sources = load("sources")
    (tmp_path / "a.c").write_text("one")
    named = sources.named_source(tmp_path)
    before = sources.identity(named)
    assert sources.identity(named) == before
    (tmp_path / "a.c").write_text("another")
    assert sources.identity(named) != before


def test_upstream_is_taken_at_the_pinned_commit(
    load: Callable[[str], ModuleType],
    upstream: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    git_source = load("git_source")
    monkeypatch.setattr(git_source, "URL", str(upstream))
    monkeypatch.setattr(git_source, "COMMIT", git(upstream, "rev-parse", "HEAD"))
    archive = git_source.fetch(tmp_path, Heard())
    listing = subprocess.run(["tar", "-tf", archive], capture_output=True, text=True, check=True)
    assert "pjproject/version.mak" in listing.stdout.split()


def test_a_moved_tag_is_refused(
    load: Callable[[str], ModuleType],
    upstream: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    git_source = load("git_source")
    monkeypatch.setattr(git_source, "URL", str(upstream))
    with pytest.raises(load("progress").SetupError, match="not the pinned 5a457451"):
        git_source.fetch(tmp_path, Heard())


def test_a_repository_that_is_not_there_is_told(
    load: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git_source = load("git_source")
    monkeypatch.setattr(git_source, "URL", str(tmp_path / "absent"))
    with pytest.raises(load("progress").SetupError):
        git_source.fetch(tmp_path, Heard())


TARGETS = {
    "Debian Debian http://mirror.example/debian": "http://mirror.example/debian",
    "Debian Debian-Security http://security.example\nDebian Debian http://b.example": (
        "http://b.example"
    ),
}


@pytest.mark.parametrize(("targets", "mirror"), TARGETS.items())
def test_the_mirror_is_the_first_debian_one_of_the_machine(
    load: Callable[[str], ModuleType],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    targets: str,
    mirror: str,
) -> None:
    source = load("distribution_source")
    monkeypatch.setattr(source, "_run", lambda _command: targets)
    assert source._machine_mirror(tmp_path) == mirror


def test_a_machine_without_a_debian_mirror_is_told_what_to_set(
    load: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = load("distribution_source")
    monkeypatch.setattr(source, "_run", lambda _command: "Ubuntu Ubuntu http://mirror.example")
    with pytest.raises(load("progress").SetupError, match="SIAX_DEBIAN_MIRROR=http"):
        source._machine_mirror(tmp_path)


def test_a_mirror_that_is_set_is_used_and_the_component_found(
    load: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, commands = load("distribution_source"), []
    listing = (
        "'http://m.example/asterisk_23.1.orig.tar.xz' asterisk_23.1.orig.tar.xz 9 SHA256:aa\n"
        "'http://m.example/asterisk_23.1%2bdfsg.orig-Xpjproject.tar.xz' "
        "asterisk_23.1.orig-Xpjproject.tar.xz 12 SHA256:bb\n"
    )

    def run(command: list[str]) -> str:
        commands.append(command)
        return listing if "--print-uris" in command else ""

    monkeypatch.setenv("SIAX_DEBIAN_MIRROR", "http://m.example")
    monkeypatch.setattr(source, "_run", run)
    monkeypatch.setattr(source, "_keyring", lambda: Path("/keys.gpg"))
    archive = source.fetch(tmp_path, Heard())
    assert archive == tmp_path / "pjproject.tar.xz"
    line = (tmp_path / "apt" / "sources.list").read_text()
    assert line == "deb-src [signed-by=/keys.gpg] http://m.example sid main\n"
    assert commands[-1][-3:] == [
        "http://m.example/asterisk_23.1%2bdfsg.orig-Xpjproject.tar.xz",
        str(archive),
        "SHA256:bb",
    ]


@pytest.mark.parametrize(
    ("revision", "version"), [("", (2, 17)), ("1", (2, 17, 1))], ids=["plain", "patched"]
)
def test_the_version_is_read_from_the_tree(
    load: Callable[[str], ModuleType], tmp_path: Path, revision: str, version: tuple[int, ...]
) -> None:
    (tmp_path / "version.mak").write_text(
        "export PJ_VERSION_MAJOR  := 2\nexport PJ_VERSION_MINOR  := 17\n"
        f"export PJ_VERSION_REV    := {revision}\nexport PJ_VERSION_SUFFIX :=\n"
    )
    assert load("compiler").version(tmp_path) == version


def test_a_folder_without_a_version_is_no_source(
    load: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    with pytest.raises(load("progress").SetupError, match=r"no version\.mak"):
        load("compiler").version(tmp_path)


def test_the_key_depends_on_sizes_and_on_a_named_source(
    load: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = load("recipe")
    key = recipe.key("")
    assert recipe.key("") == key
    assert recipe.key("named") != key
    other = tmp_path / "config_site.h"
    other.write_text("#define PJSUA_MAX_CALLS 4\n")
    monkeypatch.setattr(recipe, "CONFIG_SITE", other)
    assert recipe.key("") != key


def test_the_wheel_has_its_files_metadata_and_digests(
    load: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    module = tmp_path / "module"
    module.mkdir()
    (module / "pjsua2.py").write_text("x = 1\n")
    written = load("wheel").write(module, "2.17", "0123456789ab", tmp_path)
    assert written.name.startswith("pjsua2-2.17-1_0123456789ab-cp3")
    with zipfile.ZipFile(written) as archive:
        assert b"\nName: pjsua2\nVersion: 2.17\n" in archive.read("pjsua2-2.17.dist-info/METADATA")
        record = archive.read("pjsua2-2.17.dist-info/RECORD").decode().splitlines()
        digest = base64.urlsafe_b64encode(hashlib.sha256(b"x = 1\n").digest()).decode().rstrip("=")
        assert f"pjsua2.py,sha256={digest},6" in record
        assert {line.split(",")[0] for line in record} == set(archive.namelist())


def test_equal_modules_make_equal_wheels(load: Callable[[str], ModuleType], tmp_path: Path) -> None:
    module = tmp_path / "module"
    module.mkdir()
    (module / "pjsua2.py").write_text("x = 1\n")
    wheels = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        wheels.append(load("wheel").write(module, "2.17", "0", tmp_path / name).read_bytes())
    assert wheels[0] == wheels[1]
