"""Proof, interop: a baresip gives its call to another one, and Asterisk hears that one then."""

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.lab.asterisk import AsteriskPeer
from tests.lab.baresip import Account, Baresip, open_baresip
from tests.lab.bridge_process import run_bridge
from tests.lab.scene import assert_nothing_left, no_channel_left
from tests.lab.softphones import PASSWORD, Registrar, hears
from tests.lab.two_sites import DESK, NUMBER, SECOND

TONES_HZ = {DESK: 700.0, SECOND: 1100.0}


@pytest.mark.parametrize("transport", ["udp", "tls"])
async def test_a_blind_transfer(
    echo_22: AsteriskPeer, link_secret: str, tmp_path: Path, transport: str
) -> None:
    at = Registrar.make(tmp_path / "near")
    config = at.calls(echo_22.settings.address, link_secret)
    async with AsyncExitStack() as stack:
        bridge = await stack.enter_async_context(run_bridge(config, tmp_path / "near", "debug"))
        phones: dict[str, Baresip] = {}
        for user, tone_hz in TONES_HZ.items():
            account = Account(at.uri(user, transport), PASSWORD, srtp=transport == "tls")
            opened = open_baresip(
                tmp_path / user, account, tone_hz=tone_hz, certificate=at.certificate
            )
            phones[user] = await stack.enter_async_context(opened)
            await phones[user].event("REGISTER_OK")
        first, second = phones[DESK], phones[SECOND]
        await first.call(at.uri(f"9{NUMBER}", transport))
        await first.talks()
        await hears(first, TONES_HZ[DESK])
        await first.give_to(at.uri(SECOND, transport))
        await second.rings()
        await second.answer()
        await second.talks()
        await first.is_over()
        await hears(second, TONES_HZ[SECOND])
        await second.hang_up()
        await no_channel_left(echo_22)
    assert_nothing_left(bridge)
    assert NUMBER not in bridge.output()
