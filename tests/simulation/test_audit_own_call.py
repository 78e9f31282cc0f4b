"""The audit of a call of our own: nothing but what docs/security.md lists, and as configured."""

from pathlib import Path

import pytest

from bridge.audit.audit import Audit, audit_capture
from bridge.audit.packets import Datagram, Peer
from bridge.audit.promises import LinkPromise
from bridge.audit.writer import PcapWriter
from bridge.iax2 import Address
from tests.lab.audible_calls import SPEECH, AudibleStage
from tests.lab.bridged_calls import NEAR

WATCHED_S = 10.0
OURS: Peer = (b"\xc0\0\2\1", 4569)
THEIRS: Peer = (b"\xc0\0\2\2", 4569)
PROMISE = LinkPromise("enc", 26, 60)


def record_call(path: Path) -> None:
    with AudibleStage() as stage, path.open("wb") as file:
        writer = PcapWriter(file)
        noted = stage.simulation.watch
        assert noted is not None

        def watch(source: Address, data: bytes) -> None:
            noted(source, data)
            ways = (OURS, THEIRS) if source == NEAR else (THEIRS, OURS)
            writer.write(Datagram(round(stage.now * 1e9), *ways, data, len(data)))

        stage.simulation.watch = watch
        stage.dial_number("4930123")
        stage.speak(SPEECH, 0.1, WATCHED_S)
        stage.run(WATCHED_S)


def audited(path: Path, promise: LinkPromise, username: str) -> Audit:
    return audit_capture(path, {username: promise})


@pytest.fixture(scope="module")
def own_call(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("audit") / "ours.pcap"
    record_call(path)
    return path


def username_in(audit: Audit) -> str:
    return next(value for judged in audit.dialogs for _, value in judged.seen.values("USERNAME"))


def test_nothing_leaks_but_what_is_public(own_call: Path) -> None:
    audit = audit_capture(own_call)
    assert not audit.leaks, audit.codes
    assert audit.notes == []
    by_severity: dict[str, set[str]] = {}
    for severity, code in audit.codes:
        by_severity.setdefault(severity, set()).add(code)
    assert by_severity == {
        "note": {"extension", "public", "guessable"},
        "hidden": {"all-encrypted", "no-repeats", "constant-audio", "steady-signals"},
    }


def test_it_is_as_configured(own_call: Path) -> None:
    username = username_in(audit_capture(own_call))
    audit = audited(own_call, PROMISE, username)
    assert not audit.leaks
    kept = [f.text for j in audit.dialogs for f in j.findings if f.code == "promise-kept"]
    assert len(kept) == 5
    assert any("26 frames each 60 ms" in text for text in kept)


@pytest.mark.parametrize(
    "promise", [LinkPromise("enc", 44, 60), LinkPromise("enc", 26, 100), LinkPromise("x", 26, 60)]
)
def test_another_configuration_is_not_what_is_seen(own_call: Path, promise: LinkPromise) -> None:
    username = username_in(audit_capture(own_call))
    audit = audited(own_call, promise, username)
    assert ("leak", "promise-broken") in audit.codes
