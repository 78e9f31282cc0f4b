"""Proof, interop: a bridge and a real Asterisk register with each other and call where that says.

Neither knows the other's address otherwise: `peer: dynamic` here, `host=dynamic` there.
"""

from pathlib import Path

import pytest
import trio

from bridge.config.secret import new_secret
from tests.lab.asterisk_fetch import AsteriskTree
from tests.lab.phone_audio import ReceivedRtp
from tests.lab.registering import (
    NUMBER,
    OURS,
    THEIRS,
    TONE_HZ,
    WITHIN_S,
    Registering,
    Secrets,
    open_registering,
    until,
)
from tests.lab.results import record, sized
from tests.lab.scene import no_channel_left
from tests.lab.status_command import CONFIG, answer, siax_status
from tests.lab.tone import tone_share
from tests.lab.two_sites import next_call

REFUSED = 29
VERSIONS = sized(["22"], ["22", "16"])


@pytest.mark.parametrize("version", ["22", "16"])
async def test_both_register_and_calls_go_where_that_says(
    trees: dict[str, AsteriskTree], version: str, tmp_path: Path
) -> None:
    async with open_registering(trees[version], tmp_path, Secrets()) as scene:
        ours = await scene.bridge.logged("registered with the peer", WITHIN_S)
        theirs = await scene.bridge.logged("the peer has registered", WITHIN_S)
        assert theirs["host"] == scene.asterisk.settings.address
        await scene.shown("peers", OURS, "OK (")  # it answers what qualify=yes asks it
        await scene.shown("registry", THEIRS, "Registered")
        await _status_shows_both(tmp_path, scene)
        await scene.call_there()
        await _call_here(scene)
    assert "our registration is released" in scene.bridge.output()
    record(
        "registration both ways",
        {"asterisk": scene.asterisk.tree.version, "links": [ours["link"], theirs["link"]]},
    )


async def _status_shows_both(folder: Path, scene: Registering) -> None:
    (link,) = (await answer(folder))["links"]
    assert link["peer"] == f"{scene.asterisk.settings.address}:4569"
    assert link["our_registration"]["state"] == "registered"
    assert 0 < link["our_registration"]["expires_in_s"] <= 60
    assert link["our_registration"]["cause"] is None
    assert 0 < link["peer_registration"]["expires_in_s"] <= 70
    assert link["peer_registration"]["refused"] == 0
    _, text, _ = await siax_status(folder, CONFIG)
    assert f"peer      {link['peer']}, registered for " in text
    assert "register  registered, since " in text


async def _call_here(scene: Registering) -> None:
    await trio.to_thread.run_sync(scene.originate)
    call = await next_call(scene.phone)
    assert call.called_user == NUMBER
    await call.answer()
    await until(lambda: _hears_the_tone(call.audio.audio_received()[-1:]))
    await call.bye()
    await no_channel_left(scene.asterisk)


def _hears_the_tone(last: list[ReceivedRtp]) -> bool:
    return any(tone_share(packet.payload, TONE_HZ) > 0.8 for packet in last)


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_wrong_secret_of_ours_is_refused_there(
    trees: dict[str, AsteriskTree], version: str, tmp_path: Path
) -> None:
    known = Secrets(ours_proved=new_secret())
    async with open_registering(trees[version], tmp_path, known) as scene:
        told = await scene.bridge.logged("the peer refuses to register us", WITHIN_S)
        assert told["cause"] == REFUSED
        (link,) = (await answer(tmp_path))["links"]
        ours = link["our_registration"]
        assert (ours["state"], ours["cause"], ours["expires_in_s"]) == ("refused", REFUSED, None)
        assert ours["tries_failed"] >= 1
        assert "UNKNOWN" in scene.shows("peers", OURS)
    assert "registered with the peer" not in scene.bridge.output()


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_wrong_secret_of_asterisks_is_refused_here(
    trees: dict[str, AsteriskTree], version: str, tmp_path: Path
) -> None:
    known = Secrets(theirs_proved=new_secret())
    async with open_registering(trees[version], tmp_path, known) as scene:
        await scene.bridge.logged("a registration as the peer had another secret", WITHIN_S)
        await scene.shown("registry", THEIRS, "Rejected")
        (link,) = (await answer(tmp_path))["links"]
        assert link["peer"] is None
        assert link["verdict"] == {"grade": "down", "reason": "the peer has not registered"}
        assert link["peer_registration"]["expires_in_s"] is None
        assert link["peer_registration"]["refused"] >= 1
        call = await scene.phone.call(scene.bridge.sip, f"9{NUMBER}")
        assert (await call.status(200, WITHIN_S)).status == 503
    assert "the peer has registered" not in scene.bridge.output()
