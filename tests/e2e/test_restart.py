"""A bridge is started again: phones that registered before are reachable without doing it anew."""

from dataclasses import replace
from pathlib import Path

import trio

from bridge.config.secret import new_secret
from tests.lab.addresses import free_iax_address, free_udp_port
from tests.lab.asterisk_config import IAX_PORT, USERNAME
from tests.lab.bridge_process import BridgeConfig, run_bridge
from tests.lab.phone import open_phone
from tests.lab.results import record
from tests.lab.two_sites import CALLER, DESK, DESK_PASSWORD, NUMBER, accepting, next_call

ANSWERED_WITHIN_S = 10.0


async def test_a_registered_phone_rings_after_a_restart(tmp_path: Path) -> None:
    secret, iax = new_secret(), free_iax_address()
    for name in ("near", "far"):
        (tmp_path / name).mkdir()
    async with open_phone() as phone_a, open_phone() as phone_b:
        site = accepting(iax, phone_b, USERNAME, secret, registers=True)
        takes = replace(site, sip=("127.0.0.1", free_udp_port()))
        calls = BridgeConfig(
            f"{iax}:{IAX_PORT}", secret, overrides={"links": {"answer": "far-end"}}
        )
        async with run_bridge(takes, tmp_path / "far") as far:
            await phone_b.register(far.sip, DESK, DESK_PASSWORD)
        async with (
            run_bridge(takes, tmp_path / "far"),
            run_bridge(calls, tmp_path / "near") as near,
        ):
            call = await phone_a.call(near.sip, f"9{NUMBER}", CALLER)
            call.audio.source = call.audio.marked
            far_call = await next_call(phone_b)
            assert far_call.called_user == DESK
            far_call.ring()
            await far_call.answer()
            await call.answered(ANSWERED_WITHIN_S)
            await trio.sleep(1.5)
            await call.bye()
    heard = far_call.audio.report_from(call.audio)
    assert heard.sent > 20
    record("restart", {"rings": True, "frames_heard": heard.sent - heard.lost})
