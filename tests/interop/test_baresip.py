"""Proof, interop: baresip registers, calls, is called, holds and dials, plain and encrypted."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
import trio

from bridge.config.secret import new_secret
from tests.lab.asterisk import AsteriskPeer
from tests.lab.asterisk_fetch import AsteriskTree
from tests.lab.baresip import Account, Baresip, open_baresip
from tests.lab.bridge_process import run_bridge
from tests.lab.results import sized
from tests.lab.softphone_calls import Kind, open_sites
from tests.lab.softphones import PASSWORD, PORTS, Registrar, hears
from tests.lab.two_sites import DESK, NOWHERE, NUMBER

TONE_A_HZ: Final = 700.0
TONE_B_HZ: Final = 1100.0
DIGITS: Final = sized("19*#", "0123456789*#")
KEY_S: Final = 0.15


def account(at: Registrar, transport: str, digits: str = "rtpevent") -> Account:
    return Account(at.uri(DESK, transport), PASSWORD, srtp=transport == "tls", digits=digits)


@asynccontextmanager
async def registered(
    folder: Path,
    at: Registrar,
    transport: str,
    tone_hz: float = TONE_A_HZ,
    digits: str = "rtpevent",
) -> AsyncIterator[Baresip]:
    """A phone that has registered; it has verified the certificate where that is TLS."""
    account_ = account(at, transport, digits)
    async with open_baresip(folder, account_, tone_hz=tone_hz, certificate=at.certificate) as phone:
        await phone.event("REGISTER_OK")
        yield phone


BARESIP: Final = Kind(registered, TONE_A_HZ)


async def test_it_registers_with_its_password_alone(tmp_path: Path) -> None:
    at = Registrar.make(tmp_path / "near")
    async with run_bridge(at.calls(NOWHERE, new_secret()), tmp_path / "near", "debug") as bridge:
        for transport in PORTS:
            async with registered(tmp_path / transport, at, transport):
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
    await BARESIP.calls_asterisk(echo_22, link_secret, tmp_path, transport)


@pytest.mark.parametrize("transport", ["tcp", "tls"])
async def test_asterisk_calls_it(
    trees: dict[str, AsteriskTree], tmp_path: Path, transport: str
) -> None:
    await BARESIP.is_called_by_asterisk(trees["22"], tmp_path, transport)


@pytest.mark.parametrize(
    ("near_by", "digits", "far_by"),
    [("udp", "info", "tls"), ("tcp", "rtpevent", "udp"), ("tls", "rtpevent", "tcp")],
)
async def test_two_talk_through_two_bridges(
    tmp_path: Path, near_by: str, digits: str, far_by: str
) -> None:
    async with (
        open_sites(tmp_path) as sites,
        registered(tmp_path / "a", sites.near, near_by, TONE_A_HZ, digits) as phone_a,
        registered(tmp_path / "b", sites.far, far_by, TONE_B_HZ) as phone_b,
    ):
        await phone_a.call(sites.near.uri(f"9{NUMBER}", near_by))
        await phone_b.rings()
        await phone_a.sees_ringing()
        await phone_b.answer()
        for phone, tone_hz in ((phone_a, TONE_B_HZ), (phone_b, TONE_A_HZ)):
            await phone.talks()
            await hears(phone, tone_hz)
        await phone_a.hold()
        await hears(phone_b, TONE_A_HZ, no_more=True)
        await phone_a.resume()
        await hears(phone_b, TONE_A_HZ)
        for digit in DIGITS:
            await phone_a.command("sndcode", digit)
            await trio.sleep(KEY_S)
        assert await phone_b.pressed(DIGITS) == DIGITS
        await phone_b.hang_up()
        await phone_a.is_over()
