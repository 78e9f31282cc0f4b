"""Proof, interop: linphonec talks with baresip through two bridges, holds, dials and transfers."""

from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from bridge.config.secret import new_secret
from tests.lab.baresip import Account, Baresip, open_baresip
from tests.lab.bridge_process import run_bridge
from tests.lab.capture import assert_absent
from tests.lab.linphone import Line, open_linphone
from tests.lab.proxy import open_proxy
from tests.lab.results import sized
from tests.lab.scene import assert_nothing_left
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
    near_at, far_at = (Registrar.make(tmp_path / name) for name in ("near", "far"))
    secret = new_secret()
    line = Line(near_at.uri(DESK, near_by), PASSWORD, srtp=near_by == "tls", keys=keys)
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        link = await enter(open_proxy(far_at.host))
        peer = f"{link.address[0]}:{link.address[1]}"
        calls = near_at.calls(peer, secret, answer="far-end")
        far = await enter(run_bridge(far_at.accepts(secret), tmp_path / "far", "debug"))
        near = await enter(run_bridge(calls, tmp_path / "near", "debug"))
        called = await registered(stack, tmp_path / "b", far_at, far_by)
        second = await registered(stack, tmp_path / "c", near_at, near_by, SECOND)
        phone = await enter(open_linphone(tmp_path / "a", line, near_at.certificate))
        await phone.command(f"call {near_at.uri(f'9{NUMBER}', near_by)}")
        await called.event("CALL_INCOMING")
        await phone.logs("to LinphoneCallOutgoingRinging")
        await called.command("accept")
        await phone.logs("to LinphoneCallStreamsRunning")
        await hears(phone, BARESIP_HZ)
        await hears(called, LINPHONE_HZ)
        await phone.command("pause")
        await hears(called, LINPHONE_HZ, no_more=True)
        await phone.command("resume")
        await hears(called, LINPHONE_HZ)
        await phone.press(DIGITS)
        assert await called.pressed(DIGITS) == DIGITS
        await phone.command(f"transfer {near_at.uri(SECOND, near_by)}")
        await second.event("CALL_INCOMING")
        await second.command("accept")
        await phone.logs("to LinphoneCallEnd")
        await hears(called, SECOND_HZ)
        await hears(second, BARESIP_HZ)
        await second.command("hangup")
        await called.event("CALL_CLOSED")
        assert_absent(link.datagrams, [NUMBER])
    for bridge in (near, far):
        assert_nothing_left(bridge)
        assert NUMBER not in bridge.output()


@pytest.mark.parametrize(
    ("near_by", "far_by"), sized([("udp", "tls")], [("udp", "tls"), ("tcp", "udp")])
)
async def test_linphone_is_called(tmp_path: Path, near_by: str, far_by: str) -> None:
    near_at, far_at = (Registrar.make(tmp_path / name) for name in ("near", "far"))
    secret = new_secret()
    line = Line(far_at.uri(DESK, far_by), PASSWORD, srtp=far_by == "tls")
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        far = await enter(run_bridge(far_at.accepts(secret), tmp_path / "far", "debug"))
        calls = near_at.calls(f"{far_at.host}:4569", secret, answer="far-end")
        near = await enter(run_bridge(calls, tmp_path / "near", "debug"))
        caller = await registered(stack, tmp_path / "a", near_at, near_by)
        phone = await enter(open_linphone(tmp_path / "b", line, far_at.certificate))
        await caller.command("dial", near_at.uri(f"9{NUMBER}", near_by))
        await phone.logs("to LinphoneCallIncomingReceived")
        await caller.event("CALL_RINGING")
        await phone.command("answer")
        await caller.event("CALL_ESTABLISHED")
        await hears(phone, BARESIP_HZ)
        await hears(caller, LINPHONE_HZ)
        await phone.command("terminate")
        await caller.event("CALL_CLOSED")
    for bridge in (near, far):
        assert_nothing_left(bridge)


async def test_linphone_dials_by_tones_in_its_audio(tmp_path: Path) -> None:
    """It offers no telephone-event then."""
    near_at, far_at = (Registrar.make(tmp_path / name) for name in ("near", "far"))
    secret, line = new_secret(), Line(near_at.uri(DESK, "tcp"), PASSWORD, keys="none")
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        far = await enter(run_bridge(far_at.accepts(secret), tmp_path / "far", "debug"))
        calls = near_at.calls(f"{far_at.host}:4569", secret, answer="far-end")
        near = await enter(run_bridge(calls, tmp_path / "near", "debug"))
        called = await registered(stack, tmp_path / "b", far_at, "tcp")
        says = partial(write_keys, digits=DIGITS)
        phone = await enter(open_linphone(tmp_path / "a", line, near_at.certificate, says))
        await phone.command(f"call {near_at.uri(f'9{NUMBER}', 'tcp')}")
        await called.event("CALL_INCOMING")
        await called.command("accept")
        assert await called.pressed(DIGITS) == DIGITS
        await phone.command("terminate")
        await called.event("CALL_CLOSED")
    for bridge in (near, far):
        assert_nothing_left(bridge)
