"""A bridge and a real Asterisk that register with each other, each with a secret of its own."""

from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import trio

from bridge.config.secret import new_secret
from tests.lab import LabError
from tests.lab.addresses import free_iax_address
from tests.lab.asterisk import AsteriskPeer
from tests.lab.asterisk_config import EXTENSION, IAX_PORT, PeerSettings, far_end
from tests.lab.asterisk_fetch import AsteriskTree
from tests.lab.bridge_process import BridgeConfig, BridgeProcess, run_bridge
from tests.lab.phone import SipPhone, open_phone
from tests.lab.scene import POLL_S, assert_nothing_left, no_channel_left, received_calls

OURS: Final = "branch-7-here"
"""The name that the bridge registers with."""
THEIRS: Final = "branch-8-there"
"""The name that Asterisk registers with."""
CALLS_AS: Final = "hq"
NUMBER: Final = "2718281828"
WITHIN_S: Final = 30.0
"""For what takes a second on a machine that is not busy."""
TONE_HZ: Final = 1004.0


@dataclass(frozen=True, slots=True)
class Secrets:
    """All different: two of calls, two of registrations, and what either side registers with."""

    there: str = field(default_factory=new_secret, repr=False)
    here: str = field(default_factory=new_secret, repr=False)
    ours: str = field(default_factory=new_secret, repr=False)
    theirs: str = field(default_factory=new_secret, repr=False)
    ours_proved: str = field(default="", repr=False)
    theirs_proved: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Registering:
    """Both sides, up and running, and a phone of the bridge."""

    asterisk: AsteriskPeer
    bridge: BridgeProcess
    phone: SipPhone
    secrets: Secrets = field(repr=False)

    def shows(self, command: str, name: str) -> str:
        """What a table of Asterisk says of a name, which it cuts after ten characters."""
        lines = self.asterisk.cli(f"iax2 show {command}").splitlines()
        return next((line for line in lines if name[:10] in line), "")

    async def shown(self, command: str, name: str, what: str) -> None:
        """Wait until a table of Asterisk says something of a name."""
        await until(lambda: what in self.shows(command, name))

    async def call_there(self) -> None:
        """Let the phone call through the bridge to where Asterisk has registered from."""
        self.asterisk.forget_calls()
        call = await self.phone.call(self.bridge.sip, f"9{NUMBER}")
        await call.answered(WITHIN_S)
        (received,) = await received_calls(self.asterisk, 1, 2)
        assert (received.digits, received.secure_media) == (NUMBER, "1")
        await call.bye()
        await no_channel_left(self.asterisk)

    def originate(self) -> None:
        """Let Asterisk call where the bridge has registered, dial, and play a tone."""
        at = f"IAX2/{CALLS_AS}:{self.secrets.here}@{OURS}/{EXTENSION}"
        self.asterisk.cli(f"channel originate {at} extension s@tones")


async def until(what: Callable[[], bool], within_s: float = WITHIN_S) -> float:
    """Wait until it is so; return how long that took, in seconds.

    Raises:
        LabError: It is not so in time.
    """
    started = trio.current_time()
    with trio.move_on_after(within_s):
        while not await trio.to_thread.run_sync(what):  # noqa: ASYNC110 - another process is asked
            await trio.sleep(POLL_S)
        return trio.current_time() - started
    raise LabError(f"it was not so within {within_s} s")


def registering_asterisk(bridge: str, known: Secrets, seconds: int) -> PeerSettings:
    """The far end that we ship, registering with a bridge and waiting for its registration."""
    shipped = far_end(free_iax_address(), known.there)
    register = f"register => {THEIRS}:{known.theirs_proved or known.theirs}@{bridge}:{IAX_PORT}"
    iax = shipped.files["iax.conf"].replace(
        "requirecalltoken=yes\n", f"requirecalltoken=yes\nminregexpire={seconds}\n{register}\n", 1
    )
    iax += f"""
[{OURS}]
type=peer
host=dynamic
secret={known.ours}
auth=md5
encryption=aes128
forceencryption=yes
qualify=yes
trunk=no
transfer=no
"""
    plan = shipped.files["extensions.conf"]
    plan += f"\n[tones]\nexten => s,1,SendDTMF({NUMBER}#,60)\n same => n,Milliwatt()\n"
    files = {**shipped.files, "iax.conf": iax, "extensions.conf": plan}
    return PeerSettings(shipped.address, files, shipped.modules)


def registering_bridge(iax: str, phone: SipPhone, known: Secrets, seconds: int) -> BridgeConfig:
    """A bridge whose peer registers with it, and that registers there then."""
    link = {
        "peer": "dynamic",
        "registrant": {"username": THEIRS, "secret": known.theirs},
        "register": {
            "username": OURS,
            "secret": known.ours_proved or known.ours,
            "refresh_s": seconds,
        },
        "accept": {"username": CALLS_AS, "secret": known.here, "from": ["127.0.0.0/8"]},
    }
    host, port = phone.address
    rings = {"from": "hq", "match": r"27\d+", "to": f"sip:{{0}}@{host}:{port}"}
    calls = {"match": r"9(\d+)", "link": "hq", "dial": "{1}"}
    return BridgeConfig(
        "dynamic",
        known.there,
        iax=(iax, IAX_PORT),
        overrides={"allow_inline_secrets": "true", "links": link, "dialplan": [rings, calls]},
    )


@asynccontextmanager
async def open_registering(
    tree: AsteriskTree, folder: Path, known: Secrets, seconds: int = 60
) -> AsyncIterator[Registering]:
    """Run both; leaving the block checks that nothing is left of the bridge, at Asterisk neither.

    Args:
        tree: Which Asterisk.
        folder: Where the bridge's configuration goes.
        known: All secrets.
        seconds: For how long the bridge asks to be registered, and the least that Asterisk grants.
    """
    iax = free_iax_address()
    with ExitStack() as until_the_bridge_is_gone:
        async with open_phone() as phone:
            config = registering_bridge(iax, phone, known, seconds)
            async with run_bridge(config, folder, "debug") as bridge:
                peer = AsteriskPeer(tree, registering_asterisk(iax, known, seconds))
                # Asterisk registers when it starts, and not again before a minute has passed.
                asterisk = until_the_bridge_is_gone.enter_context(peer)
                scene = Registering(asterisk, bridge, phone, known)
                yield scene
        await until(lambda: "OK (" not in scene.shows("peers", OURS))
    assert_nothing_left(bridge)
    told = [known.there, known.here, known.ours, known.theirs, NUMBER]
    assert not [secret for secret in told if secret in bridge.output()]
