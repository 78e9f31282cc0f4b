"""Calls that every softphone has to make: to an Asterisk, from one, and through two bridges."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from bridge.config.secret import new_secret
from tests.lab.asterisk import AsteriskPeer
from tests.lab.asterisk_config import EXTENSION
from tests.lab.asterisk_fetch import AsteriskTree
from tests.lab.bridge_process import run_bridge
from tests.lab.capture import assert_absent
from tests.lab.proxy import open_proxy
from tests.lab.results import sized
from tests.lab.scene import assert_nothing_left, no_channel_left, received_calls
from tests.lab.softphones import Registrar, Softphone, dialing_and_echoing, hears
from tests.lab.two_sites import NUMBER

TALKS_S = sized(0.5, 30.0)

Opener = Callable[[Path, Registrar, str], AbstractAsyncContextManager[Softphone]]
"""Opens a softphone that registers over a transport, with a folder of its own."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A softphone of one make, and the tone that it says."""

    opened: Opener
    tone_hz: float

    async def calls_asterisk(
        self, asterisk: AsteriskPeer, secret: str, folder: Path, transport: str
    ) -> None:
        """It dials a number and hears itself; Asterisk got the digits inside the encryption."""
        at = Registrar.make(folder / "near")
        asterisk.forget_calls()
        config = at.calls(asterisk.settings.address, secret)
        async with (
            run_bridge(config, folder / "near", "debug") as bridge,
            self.opened(folder / "a", at, transport) as phone,
        ):
            await phone.call(at.uri(f"9{NUMBER}", transport))
            await phone.talks()
            await hears(phone, self.tone_hz)
            await trio.sleep(TALKS_S)
            await hears(phone, self.tone_hz)
            (received,) = await received_calls(asterisk, 1, 2)
            assert (received.digits, received.secure_media) == (NUMBER, "1")
            await phone.hang_up()
            await no_channel_left(asterisk)
        assert_nothing_left(bridge)
        assert NUMBER not in bridge.output()

    async def is_called_by_asterisk(self, tree: AsteriskTree, folder: Path, transport: str) -> None:
        """It rings for its number, hears itself, and is told that Asterisk hangs up."""
        secret, at = new_secret(), Registrar.make(folder / "far")
        async with (
            run_bridge(at.accepts(secret), folder / "far", "debug") as bridge,
            self.opened(folder / "b", at, transport) as phone,
        ):
            with AsteriskPeer(tree, dialing_and_echoing(at.host, secret)) as asterisk:
                asterisk.cli(f"channel originate IAX2/hq/{EXTENSION} extension s@echoes")
                await phone.rings()
                await phone.answer()
                await phone.talks()
                await hears(phone, self.tone_hz)
                asterisk.cli("channel request hangup all")
                await phone.is_over()
        assert_nothing_left(bridge)
        assert NUMBER not in bridge.output()


@dataclass(frozen=True, slots=True)
class SitesForPhones:
    """Where the phones of two bridges register; `near` calls `far`."""

    near: Registrar
    far: Registrar


@asynccontextmanager
async def open_sites(folder: Path) -> AsyncIterator[SitesForPhones]:
    """Run two bridges; what went between them, and what they wrote, is looked at behind it."""
    near, far = (Registrar.make(folder / name) for name in ("near", "far"))
    secret = new_secret()
    async with open_proxy(far.host) as link:
        calls = near.calls(f"{link.address[0]}:{link.address[1]}", secret, answer="far-end")
        async with (
            run_bridge(far.accepts(secret), folder / "far", "debug") as far_bridge,
            run_bridge(calls, folder / "near", "debug") as near_bridge,
        ):
            yield SitesForPhones(near, far)
        assert_absent(link.datagrams, [NUMBER])
    for bridge in (near_bridge, far_bridge):
        assert_nothing_left(bridge)
        assert NUMBER not in bridge.output()
