"""Proof, interop: linphonec registers, calls a real Asterisk and is called by it, with SRTP too."""

from pathlib import Path
from typing import Final

import pytest

from bridge.config.secret import new_secret
from tests.lab.asterisk import AsteriskPeer
from tests.lab.asterisk_config import EXTENSION
from tests.lab.asterisk_fetch import AsteriskTree
from tests.lab.bridge_process import run_bridge
from tests.lab.linphone import Line, open_linphone
from tests.lab.scene import assert_nothing_left, no_channel_left, received_calls
from tests.lab.softphones import PASSWORD, Registrar, dialing_and_echoing, hears
from tests.lab.two_sites import DESK, NUMBER

TONE_HZ: Final = 700.0


def line_of(at: Registrar, transport: str) -> Line:
    return Line(at.uri(DESK, transport), PASSWORD, srtp=transport == "tls")


@pytest.mark.parametrize("transport", ["udp", "tls"])
async def test_it_calls_asterisk(
    echo_22: AsteriskPeer, link_secret: str, tmp_path: Path, transport: str
) -> None:
    at = Registrar.make(tmp_path / "near")
    echo_22.forget_calls()
    config = at.calls(echo_22.settings.address, link_secret)
    async with (
        run_bridge(config, tmp_path / "near", "debug") as bridge,
        open_linphone(tmp_path / "a", line_of(at, transport), at.certificate) as phone,
    ):
        await phone.command(f"call {at.uri(f'9{NUMBER}', transport)}")
        await phone.logs("to LinphoneCallStreamsRunning")
        await hears(phone, TONE_HZ)
        await phone.command("terminate")
        (received,) = await received_calls(echo_22, 1, 2)
        assert (received.digits, received.secure_media) == (NUMBER, "1")
        await no_channel_left(echo_22)
    assert_nothing_left(bridge)
    assert NUMBER not in bridge.output()


@pytest.mark.parametrize("transport", ["udp", "tls"])
async def test_asterisk_calls_it(
    trees: dict[str, AsteriskTree], tmp_path: Path, transport: str
) -> None:
    secret, at = new_secret(), Registrar.make(tmp_path / "far")
    async with (
        run_bridge(at.accepts(secret), tmp_path / "far", "debug") as bridge,
        open_linphone(tmp_path / "b", line_of(at, transport), at.certificate) as phone,
    ):
        with AsteriskPeer(trees["22"], dialing_and_echoing(at.host, secret)) as asterisk:
            asterisk.cli(f"channel originate IAX2/hq/{EXTENSION} extension s@echoes")
            await phone.logs("to LinphoneCallIncomingReceived")
            await phone.command("answer")
            await phone.logs("to LinphoneCallStreamsRunning")
            await hears(phone, TONE_HZ)
            asterisk.cli("channel request hangup all")
            await phone.logs("to LinphoneCallEnd")
    assert_nothing_left(bridge)
    assert NUMBER not in bridge.output()
