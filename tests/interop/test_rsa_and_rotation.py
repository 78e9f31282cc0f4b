"""Proof, interop: RSA in both directions, and keys that rotate in mid-call by either side."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio

from bridge.iax2 import KeyOrigin
from tests.lab.addresses import free_iax_address
from tests.lab.asterisk import AsteriskPeer
from tests.lab.asterisk_config import USERNAME, caller, rsa_far_end
from tests.lab.asterisk_fetch import AsteriskTree
from tests.lab.bridge_process import BridgeProcess, run_bridge
from tests.lab.capture import assert_absent
from tests.lab.engine_far_end import open_far_end
from tests.lab.phone import SipPhone, open_phone
from tests.lab.proxy import Impairment, LinkProxy, open_proxy
from tests.lab.results import record, sized
from tests.lab.rsa_keys import KEY, OTHER_PEM, PRIVATE_PEM, PUBLIC_PEM, signing
from tests.lab.scene import assert_nothing_left, no_channel_left, open_scene, received_calls
from tests.lab.tone import tone_share
from tests.lab.two_sites import NUMBER as PHONE_NUMBER
from tests.lab.two_sites import accepting, next_call

NUMBER = "49301234567"
DIGITS = "0123456789"
MILLIWATT_HZ = 1004.0
ANSWER_S = 10.0
REKEY_S = 10
AUTHREP_RSA_OCTETS = 212
RTKEY_OCTETS = 52


@pytest.fixture(params=["22", "16"])
def tree(request: pytest.FixtureRequest, trees: dict[str, AsteriskTree]) -> AsteriskTree:
    version: str = request.param
    return trees[version]


async def test_a_call_that_is_signed(tree: AsteriskTree, link_secret: str, tmp_path: Path) -> None:
    overrides = signing(tmp_path, PRIVATE_PEM)
    with AsteriskPeer(tree, rsa_far_end(free_iax_address(), link_secret, PUBLIC_PEM)) as peer:
        async with open_scene(peer, link_secret, tmp_path, overrides=overrides) as scene:
            call = await scene.dial(NUMBER)
            await call.answered(ANSWER_S)
            await scene.talk(call, sized(4, 60))
            await call.bye()
            await no_channel_left(peer)
        (received,) = await received_calls(peer, 1, 2)
    assert (received.digits, received.secure_media) == (NUMBER, "1")
    assert AUTHREP_RSA_OCTETS in {len(each.payload) for each in scene.link.datagrams}
    assert_absent(scene.link.datagrams, [NUMBER])
    echo = scene.echo(call)
    assert echo.is_good, echo
    record("RSA to Asterisk", {"asterisk": tree.version, **echo.figures()})


async def test_a_call_that_is_signed_with_another_key(
    tree: AsteriskTree, link_secret: str, tmp_path: Path
) -> None:
    overrides = signing(tmp_path, OTHER_PEM)
    with AsteriskPeer(tree, rsa_far_end(free_iax_address(), link_secret, PUBLIC_PEM)) as peer:
        async with open_scene(peer, link_secret, tmp_path, overrides=overrides) as scene:
            call = await scene.dial(NUMBER)
            final = await call.status(200, 8)
            await no_channel_left(peer)
        assert peer.received_calls() == []
    assert final.status == 403
    assert_absent(scene.link.datagrams, [NUMBER])
    record("RSA with another key", {"asterisk": tree.version, "status": final.status})


async def test_a_call_to_a_peer_that_wants_no_signature(
    echo_peer: AsteriskPeer, link_secret: str, tmp_path: Path
) -> None:
    """After its challenge Asterisk takes nothing in clear any more, so our HANGUP is not heard."""
    overrides = signing(tmp_path, PRIVATE_PEM)
    async with open_scene(
        echo_peer, link_secret, tmp_path, overrides=overrides, deaf_peer=True
    ) as scene:
        call = await scene.dial(NUMBER)
        final = await call.status(200, 8)
        await no_channel_left(echo_peer)
        assert "no such auth" in scene.bridge.output()
    assert final.status == 503
    assert echo_peer.received_calls() == []


@pytest.mark.parametrize("loss", [0.0, 0.05], ids=["no loss", "5 % loss"])
async def test_our_key_rotates_in_mid_call(
    echo_peer: AsteriskPeer, link_secret: str, tmp_path: Path, loss: float
) -> None:
    overrides = {"links": {"rekey_s": REKEY_S}}
    impairment = Impairment(loss=loss, seed=random.Random(3).randrange(1000)) if loss else None
    async with open_scene(
        echo_peer, link_secret, tmp_path, overrides=overrides, impairment=impairment
    ) as scene:
        call = await scene.dial(NUMBER)
        await call.answered(ANSWER_S + 10 * (loss > 0))
        await scene.talk(call, sized(12, 60))
        await scene.hang_up(call)
        await no_channel_left(echo_peer)
    (received,) = await received_calls(echo_peer, 1, 2)
    assert (received.digits, received.secure_media) == (NUMBER, "1")
    ours = set(scene.link.clients())
    keys = [
        each
        for each in scene.link.datagrams
        if each.source in ours and len(each.payload) == RTKEY_OCTETS
    ]
    assert len(keys) >= sized(1, 5)
    echo = scene.echo(call)
    if loss:
        # Each frame passes the proxy twice; a lost RTKEY costs what goes until it is repeated.
        assert echo.report.lost <= echo.report.sent * 0.25, echo
    else:
        assert echo.is_good, echo
    figures = {"asterisk": echo_peer.tree.version, "loss": loss, "rtkey frames": len(keys)}
    record("our key rotates", {**figures, **echo.figures()})


@pytest.mark.parametrize("auth", ["MD5", "RSA"])
async def test_asterisk_calls_and_rotates(tree: AsteriskTree, auth: str) -> None:
    """With RSA Asterisk as the caller rotates as well, at its first voice frame."""
    signs = auth == "RSA"
    async with open_far_end(public_key=KEY.public_key() if signs else None) as far_end:
        settings = caller(
            free_iax_address(), far_end.address, far_end.secret, PRIVATE_PEM if signs else None
        )
        with AsteriskPeer(tree, settings) as peer:
            await trio.to_thread.run_sync(
                peer.cli, "channel originate IAX2/hq/enc extension s@tones"
            )
            call = await far_end.call(1)
            await trio.sleep(sized(6, 60))
            call.hang_up(16)
            await call.wait_ended(3)
            await no_channel_left(peer)
    assert call.digits == DIGITS
    assert call.keys is not None
    rotated = KeyOrigin.PEER if signs else KeyOrigin.HANDSHAKE
    assert (call.keys.sending.origin, call.keys.receiving.origin) == (KeyOrigin.HANDSHAKE, rotated)
    newest = [frame.payload for frame in call.voice[-100:]]
    assert len(newest) == 100
    assert all(tone_share(payload, MILLIWATT_HZ) > 0.9 for payload in newest)
    figures = {"asterisk": tree.version, "auth": auth}
    record("Asterisk calls us", {**figures, "voice frames": len(call.voice)})


@dataclass(frozen=True, slots=True)
class SignedLink:
    """An Asterisk that has just called the bridge, the recorded link, and the bridge's phone."""

    asterisk: AsteriskPeer
    link: LinkProxy
    bridge: BridgeProcess
    phone: SipPhone


@asynccontextmanager
async def open_signed_link(
    tree: AsteriskTree, secret: str, folder: Path, private_key: bytes, *, deaf_peer: bool = False
) -> AsyncIterator[SignedLink]:
    """Have an Asterisk call a bridge that wants to see the signature of KEY, and dial a number.

    With `deaf_peer` the Asterisk acknowledges no HANGUP, so one may still be repeated at the end.
    """
    (folder / "hq.pub").write_bytes(PUBLIC_PEM)
    iax, key = free_iax_address(), {"file": "hq.pub"}
    async with open_phone() as phone, open_proxy(iax) as link:
        config = accepting(iax, phone, USERNAME, secret, peer_public_key=key)
        at = f"{link.address[0]}:{link.address[1]}"
        settings = caller(free_iax_address(), at, secret, private_key, f"{PHONE_NUMBER}#")
        async with run_bridge(config, folder, "debug") as bridge:
            with AsteriskPeer(tree, settings) as peer:
                command = "channel originate IAX2/hq/enc extension s@tones"
                await trio.to_thread.run_sync(peer.cli, command)
                yield SignedLink(peer, link, bridge, phone)
    assert_nothing_left(bridge, except_for=("link_calls_left",) if deaf_peer else ())
    assert_absent(link.datagrams, [PHONE_NUMBER])


@pytest.mark.parametrize("version", sized(["22"], ["22", "16"]))
async def test_asterisk_signs_and_a_phone_of_the_bridge_rings(
    trees: dict[str, AsteriskTree], link_secret: str, tmp_path: Path, version: str
) -> None:
    """Asterisk as an RSA caller rotates its key, so that is followed in the whole bridge, too."""
    tree = trees[version]
    async with open_signed_link(tree, link_secret, tmp_path, PRIVATE_PEM) as site:
        call = await next_call(site.phone)
        assert call.called_user == PHONE_NUMBER
        await call.answer()
        await trio.sleep(sized(4, 60))
        await call.bye()
        await no_channel_left(site.asterisk)
        sizes = [len(each.payload) for each in site.link.datagrams]
    assert AUTHREP_RSA_OCTETS in sizes
    heard = [packet.payload for packet in call.audio.audio_received()[-100:]]
    assert len(heard) == 100
    assert all(tone_share(payload, MILLIWATT_HZ) > 0.9 for payload in heard)
    figures = {"asterisk": tree.version, "frames at the phone": len(call.audio.audio_received())}
    record("RSA from Asterisk to a phone of the bridge", figures)


@pytest.mark.parametrize("version", sized(["22"], ["22", "16"]))
async def test_asterisk_signs_with_another_key_and_nobody_rings(
    trees: dict[str, AsteriskTree], link_secret: str, tmp_path: Path, version: str
) -> None:
    tree = trees[version]
    async with open_signed_link(tree, link_secret, tmp_path, OTHER_PEM, deaf_peer=True) as site:
        await site.bridge.logged("another secret or key", ANSWER_S)
        assert site.phone.incoming.statistics().current_buffer_used == 0
