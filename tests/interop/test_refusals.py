"""Proof, interop: what a phone gets, and when, from links that cannot be had; the log names why."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.addresses import free_iax_address
from tests.lab.asterisk import AsteriskPeer
from tests.lab.asterisk_config import far_end, unencrypted_far_end
from tests.lab.asterisk_fetch import AsteriskTree
from tests.lab.capture import assert_absent, clear_octets
from tests.lab.results import record
from tests.lab.scene import no_channel_left, open_scene

NUMBER = "49301234567"
AUTHREP = 9


@pytest.fixture(params=["22", "16"])
def tree(request: pytest.FixtureRequest, trees: dict[str, AsteriskTree]) -> AsteriskTree:
    version: str = request.param
    return trees[version]


@pytest.fixture
def other_secret_peer(tree: AsteriskTree) -> Iterator[AsteriskPeer]:
    other = "Another-secret-of-the-far-end-0123456789"
    with AsteriskPeer(tree, far_end(free_iax_address(), other)) as peer:
        yield peer


@pytest.fixture
def unencrypted_peer(tree: AsteriskTree, link_secret: str) -> Iterator[AsteriskPeer]:
    with AsteriskPeer(tree, unencrypted_far_end(free_iax_address(), link_secret)) as peer:
        yield peer


async def test_secrets_that_differ(
    other_secret_peer: AsteriskPeer, link_secret: str, tmp_path: Path
) -> None:
    async with open_scene(other_secret_peer, link_secret, tmp_path, deaf_peer=True) as scene:
        call = await scene.dial(NUMBER)
        final = await call.status(200, 8)
        assert final.status == 503
        assert call.final_after_s() < 6
        assert "secrets differ" in scene.bridge.output()
    assert other_secret_peer.received_calls() == []
    assert_absent(scene.link.datagrams, [NUMBER])
    _record("secrets differ", other_secret_peer, call.final_after_s())


async def test_a_peer_without_encryption(
    unencrypted_peer: AsteriskPeer, link_secret: str, tmp_path: Path
) -> None:
    async with open_scene(unencrypted_peer, link_secret, tmp_path) as scene:
        call = await scene.dial(NUMBER)
        final = await call.status(200, 8)
        assert final.status == 503
        assert call.final_after_s() < 2
        assert "offers no encryption" in scene.bridge.output()
        await no_channel_left(unencrypted_peer)
    assert unencrypted_peer.received_calls() == []
    said = [clear_octets(datagram.payload) for datagram in scene.link.datagrams]
    assert not [octets for octets in said if octets and octets[11] == AUTHREP]
    assert_absent(scene.link.datagrams, [NUMBER])
    _record("no encryption", unencrypted_peer, call.final_after_s())


async def test_an_absent_peer(link_secret: str, tmp_path: Path) -> None:
    async with open_scene(free_iax_address(), link_secret, tmp_path) as scene:
        call = await scene.dial(NUMBER)
        final = await call.status(200, 12)
        assert final.status == 503
        assert int(final.get("retry-after").split(";")[0]) > 0
        assert 7.5 < call.final_after_s() < 9
        assert "does not answer" in scene.bridge.output()
    assert_absent(scene.link.datagrams, [NUMBER])
    record("refused: absent", {"after_s": round(call.final_after_s(), 3)})


def _record(why: str, peer: AsteriskPeer, after_s: float) -> None:
    figures = {"asterisk": peer.tree.version, "after_s": round(after_s, 3)}
    record(f"refused: {why}", figures)
