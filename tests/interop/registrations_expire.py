"""Proof, interop, for `make proof-b` alone: it waits until real registrations have expired."""

import os
import signal
from pathlib import Path

import pytest

from bridge.iax2.registrar import GRACE_S
from tests.lab.asterisk_fetch import AsteriskTree
from tests.lab.registering import NUMBER, OURS, Registering, Secrets, open_registering, until
from tests.lab.results import record
from tests.lab.status_command import answer

ASKED_S = 20
ASTERISK_ASKS_S = 60
LATE_S = 10.0
ANSWER_S = 10.0


@pytest.mark.parametrize("version", ["22", "16"])
async def test_registrations_of_an_asterisk_that_is_gone_expire(
    trees: dict[str, AsteriskTree], version: str, tmp_path: Path
) -> None:
    async with open_registering(trees[version], tmp_path, Secrets(), ASKED_S) as scene:
        await told(scene, "registered with the peer", 1, ANSWER_S)
        await scene.shown("peers", OURS, "OK (")
        os.kill(scene.asterisk.pid, signal.SIGKILL)
        lost = "the peer does not answer our registration"
        ours_s = await told(scene, lost, 1, ASKED_S + LATE_S)
        (link,) = (await answer(tmp_path))["links"]
        assert link["our_registration"]["state"] == "the registrar does not answer"
        assert link["our_registration"]["tries_failed"] >= 1
        expires_s = ASTERISK_ASKS_S + GRACE_S
        theirs_s = await told(scene, "the peer is not registered any more", 1, expires_s + LATE_S)
        call = await scene.phone.call(scene.bridge.sip, f"9{NUMBER}")
        assert (await call.status(200, ANSWER_S)).status == 503
        scene.asterisk.restart()
        await told(scene, "the peer has registered", 2, ANSWER_S)
        await told(scene, "registered with the peer", 2, ANSWER_S)
        await scene.call_there()
    figures = {"ours_s": round(ours_s, 1), "theirs_after_that_s": round(theirs_s, 1)}
    record("registrations expire", {"asterisk": scene.asterisk.tree.version, **figures})


async def told(scene: Registering, event: str, times: int, within_s: float) -> float:
    """Wait until the bridge has told something so often; return how long that took."""

    def is_told() -> bool:
        return [entry["event"] for entry in scene.bridge.log_entries()].count(event) >= times

    return await until(is_told, within_s)
