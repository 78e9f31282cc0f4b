"""Proof, interop: linphonec talks with baresip through two bridges, holds, dials and transfers."""

from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from tests.lab.baresip import Account, Baresip, open_baresip
from tests.lab.linphone import Line, open_linphone
from tests.lab.results import sized
from tests.lab.softphone_calls import open_sites
from tests.lab.softphones import PASSWORD, Registrar, hears
from tests.lab.two_sites import DESK, NUMBER, SECOND
from tests.lab.wav import write_keys

LINPHONE_HZ: Final = 700.0
BARESIP_HZ: Final = 1100.0
SECOND_HZ: Final = 1500.0
DIGITS: Final = sized("19*#", "0123456789*#")


async def registered(
    stack: AsyncExitStack, folder: Path, at: Registrar, transport: str, user: str = DESK
) -> Baresip:
    """A baresip until the stack is left; what it says tells who it is."""
    account = Account(at.uri(user, transport), PASSWORD, srtp=transport == "tls")
    tone_hz = BARESIP_HZ if user == DESK else SECOND_HZ
    opened = open_baresip(folder, account, tone_hz=tone_hz, certificate=at.certificate)
    phone = await stack.enter_async_context(opened)
    await phone.event("REGISTER_OK")
    return phone


@pytest.mark.parametrize(
    ("near_by", "keys", "far_by"),
    sized([("tls", "rfc4733", "udp")], [("tls", "rfc4733", "udp"), ("udp", "info", "tls")]),
)
async def test_linphone_calls_holds_dials_and_gives_its_call_away(
    tmp_path: Path, near_by: str, keys: str, far_by: str
) -> None:
    async with AsyncExitStack() as stack:
        sites = await stack.enter_async_context(open_sites(tmp_path))
        near = sites.near
        line = Line(near.uri(DESK, near_by), PASSWORD, srtp=near_by == "tls", keys=keys)
        called = await registered(stack, tmp_path / "b", sites.far, far_by)
        second = await registered(stack, tmp_path / "c", near, near_by, SECOND)
        opened = open_linphone(tmp_path / "a", line, near.certificate)
        phone = await stack.enter_async_context(opened)
        await phone.call(near.uri(f"9{NUMBER}", near_by))
        await called.rings()
        await phone.sees_ringing()
        await called.answer()
        await phone.talks()
        await hears(phone, BARESIP_HZ)
        await hears(called, LINPHONE_HZ)
        await phone.hold()
        await hears(called, LINPHONE_HZ, no_more=True)
        await phone.resume()
        await hears(called, LINPHONE_HZ)
        await phone.press(DIGITS)
        assert await called.pressed(DIGITS) == DIGITS
        await phone.give_to(near.uri(SECOND, near_by))
        await second.rings()
        await second.answer()
        await phone.is_over()
        await hears(called, SECOND_HZ)
        await hears(second, BARESIP_HZ)
        await second.hang_up()
        await called.is_over()


@pytest.mark.parametrize(
    ("near_by", "far_by"), sized([("udp", "tls")], [("udp", "tls"), ("tcp", "udp")])
)
async def test_linphone_is_called(tmp_path: Path, near_by: str, far_by: str) -> None:
    async with AsyncExitStack() as stack:
        sites = await stack.enter_async_context(open_sites(tmp_path))
        line = Line(sites.far.uri(DESK, far_by), PASSWORD, srtp=far_by == "tls")
        caller = await registered(stack, tmp_path / "a", sites.near, near_by)
        opened = open_linphone(tmp_path / "b", line, sites.far.certificate)
        phone = await stack.enter_async_context(opened)
        await caller.call(sites.near.uri(f"9{NUMBER}", near_by))
        await phone.rings()
        await caller.sees_ringing()
        await phone.answer()
        await caller.talks()
        await hears(phone, BARESIP_HZ)
        await hears(caller, LINPHONE_HZ)
        await phone.hang_up()
        await caller.is_over()


async def test_linphone_dials_by_tones_in_its_audio(tmp_path: Path) -> None:
    """It offers no telephone-event then."""
    async with AsyncExitStack() as stack:
        sites = await stack.enter_async_context(open_sites(tmp_path))
        line = Line(sites.near.uri(DESK, "tcp"), PASSWORD, keys="none")
        called = await registered(stack, tmp_path / "b", sites.far, "tcp")
        says = partial(write_keys, digits=DIGITS)
        opened = open_linphone(tmp_path / "a", line, sites.near.certificate, says)
        phone = await stack.enter_async_context(opened)
        await phone.call(sites.near.uri(f"9{NUMBER}", "tcp"))
        await called.rings()
        await called.answer()
        assert await called.pressed(DIGITS) == DIGITS
        await phone.hang_up()
        await called.is_over()
