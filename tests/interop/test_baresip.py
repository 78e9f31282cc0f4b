"""Proof, interop: baresip registers, calls, is called, holds and dials, plain and encrypted."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import pytest
import trio

from bridge.config.secret import new_secret
from tests.lab.asterisk import AsteriskPeer
from tests.lab.asterisk_config import EXTENSION
from tests.lab.asterisk_fetch import AsteriskTree
from tests.lab.baresip import Account, Baresip, open_baresip
from tests.lab.bridge_process import BridgeProcess, run_bridge
from tests.lab.capture import assert_absent
from tests.lab.proxy import open_proxy
from tests.lab.results import sized
from tests.lab.scene import assert_nothing_left, no_channel_left, received_calls
from tests.lab.softphones import PASSWORD, PORTS, Registrar, dialing_and_echoing, hears
from tests.lab.two_sites import DESK, NOWHERE, NUMBER

TONE_A_HZ: Final = 700.0
TONE_B_HZ: Final = 1100.0
DIGITS: Final = sized("19*#", "0123456789*#")
TALKS_S: Final = sized(0.5, 30.0)
KEY_S: Final = 0.15


def account(at: Registrar, transport: str, digits: str = "rtpevent") -> Account:
    return Account(at.uri(DESK, transport), PASSWORD, srtp=transport == "tls", digits=digits)


@asynccontextmanager
async def registered(
    folder: Path, at: Registrar, transport: str, tone_hz: float, digits: str = "rtpevent"
) -> AsyncIterator[Baresip]:
    """A phone that has registered; it has verified the certificate where that is TLS."""
    account_ = account(at, transport, digits)
    async with open_baresip(folder, account_, tone_hz=tone_hz, certificate=at.certificate) as phone:
        await phone.event("REGISTER_OK")
        yield phone


async def test_it_registers_with_its_password_alone(tmp_path: Path) -> None:
    at = Registrar.make(tmp_path / "near")
    async with run_bridge(at.calls(NOWHERE, new_secret()), tmp_path / "near", "debug") as bridge:
        for transport in PORTS:
            async with registered(tmp_path / transport, at, transport, TONE_A_HZ):
                pass
        wrong = replace(account(at, "udp"), password=f"{PASSWORD}x")
        async with open_baresip(tmp_path / "wrong", wrong) as phone:
            await bridge.logged("authentication failed", 5)
            await trio.sleep(1.0)  # it tries anew with each new nonce, and never says that it fails
            assert "REGISTER_OK" not in {event.get("type") for event in phone.events}
        assert PASSWORD not in bridge.output()


@pytest.mark.parametrize("transport", ["udp", "tls"])
async def test_it_calls_asterisk(
    echo_22: AsteriskPeer, link_secret: str, tmp_path: Path, transport: str
) -> None:
    at = Registrar.make(tmp_path / "near")
    echo_22.forget_calls()
    config = at.calls(echo_22.settings.address, link_secret)
    async with (
        run_bridge(config, tmp_path / "near", "debug") as bridge,
        registered(tmp_path / "a", at, transport, TONE_A_HZ) as phone,
    ):
        await phone.command("dial", at.uri(f"9{NUMBER}", transport))
        await phone.event("CALL_ESTABLISHED")
        await hears(phone, TONE_A_HZ)
        await trio.sleep(TALKS_S)
        await hears(phone, TONE_A_HZ)
        (received,) = await received_calls(echo_22, 1, 2)
        assert (received.digits, received.secure_media) == (NUMBER, "1")
        await phone.command("hangup")
        await no_channel_left(echo_22)
    assert_nothing_left(bridge)
    assert NUMBER not in bridge.output()


@pytest.mark.parametrize("transport", ["tcp", "tls"])
async def test_asterisk_calls_it(
    trees: dict[str, AsteriskTree], tmp_path: Path, transport: str
) -> None:
    secret, at = new_secret(), Registrar.make(tmp_path / "far")
    async with (
        run_bridge(at.accepts(secret), tmp_path / "far", "debug") as bridge,
        registered(tmp_path / "b", at, transport, TONE_B_HZ) as phone,
    ):
        with AsteriskPeer(trees["22"], dialing_and_echoing(at.host, secret)) as asterisk:
            asterisk.cli(f"channel originate IAX2/hq/{EXTENSION} extension s@echoes")
            await phone.event("CALL_INCOMING")
            await phone.command("accept")
            await phone.event("CALL_ESTABLISHED")
            await hears(phone, TONE_B_HZ)
            asterisk.cli("channel request hangup all")
            await phone.event("CALL_CLOSED")
    assert_nothing_left(bridge)
    assert NUMBER not in bridge.output()


@dataclass(frozen=True, slots=True)
class Sites:
    """Two bridges with a phone each."""

    near: BridgeProcess
    far: BridgeProcess
    phone_a: Baresip
    phone_b: Baresip


@pytest.mark.parametrize(
    ("near_by", "digits", "far_by"),
    [("udp", "info", "tls"), ("tcp", "rtpevent", "udp"), ("tls", "rtpevent", "tcp")],
)
async def test_two_talk_through_two_bridges(
    tmp_path: Path, near_by: str, digits: str, far_by: str
) -> None:
    near_at, far_at = (Registrar.make(tmp_path / name) for name in ("near", "far"))
    secret = new_secret()
    async with open_proxy(far_at.host) as link:
        peer = f"{link.address[0]}:{link.address[1]}"
        calls = near_at.calls(peer, secret, answer="far-end")
        async with (
            run_bridge(far_at.accepts(secret), tmp_path / "far", "debug") as far,
            run_bridge(calls, tmp_path / "near", "debug") as near,
            registered(tmp_path / "a", near_at, near_by, TONE_A_HZ, digits) as phone_a,
            registered(tmp_path / "b", far_at, far_by, TONE_B_HZ) as phone_b,
        ):
            await phone_a.command("dial", near_at.uri(f"9{NUMBER}", near_by))
            await phone_b.event("CALL_INCOMING")
            await phone_a.event("CALL_RINGING")
            await phone_b.command("accept")
            for phone, tone_hz in ((phone_a, TONE_B_HZ), (phone_b, TONE_A_HZ)):
                await phone.event("CALL_ESTABLISHED")
                await hears(phone, tone_hz)
            await phone_a.command("hold")
            await hears(phone_b, TONE_A_HZ, no_more=True)
            await phone_a.command("resume")
            await hears(phone_b, TONE_A_HZ)
            for digit in DIGITS:
                await phone_a.command("sndcode", digit)
                await trio.sleep(KEY_S)
            assert await phone_b.pressed(DIGITS) == DIGITS
            await phone_b.command("hangup")
            await phone_a.event("CALL_CLOSED")
        assert_absent(link.datagrams, [NUMBER])
    for bridge in (near, far):
        assert_nothing_left(bridge)
        assert NUMBER not in bridge.output()
