"""Two sites: a phone, a bridge, a recorded link, the other bridge and its phone."""

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import trio

from bridge.config.secret import new_secret
from tests.lab import LabError
from tests.lab.addresses import free_iax_address
from tests.lab.asterisk_config import EXTENSION, IAX_PORT, USERNAME
from tests.lab.bridge_process import BridgeConfig, BridgeProcess, run_bridge
from tests.lab.capture import assert_absent
from tests.lab.nursery import open_lab_nursery
from tests.lab.phone import SipPhone, open_phone
from tests.lab.phone_audio import PhoneAudio
from tests.lab.phone_call import PhoneCall
from tests.lab.proxy import LinkProxy, open_proxy
from tests.lab.scene import GIVEN_UP, Echo, assert_nothing_left
from tests.lab.stalls import StallWatch
from tests.lab.trunk import PASSWORD, REALM, USER, SipTrunk

NUMBER: Final = "2718281828"
CALLER: Final = "4420794600"
CALLED_WITHIN_S: Final = 10.0
DESK: Final = "desk"
SECOND: Final = "second"
DESK_PASSWORD: Final = "a password of the desk phone"
NOWHERE: Final = "127.0.0.1:4569"
"""The peer of a link that only takes calls."""
PHONES: Final = [{"user": user, "password": DESK_PASSWORD} for user in (DESK, SECOND)]


def accepting(
    iax: str,
    phone: SipPhone,
    username: str,
    secret: str,
    *,
    registers: bool = False,
    trunks: Mapping[str, Any] | None = None,
    trust: Sequence[str] = (),
    **accept: Any,  # noqa: ANN401
) -> BridgeConfig:
    """A bridge that takes calls on port 4569 of an address and calls a phone for numbers in 27.

    With `registers` the phone has to register as DESK, with its password, and SECOND may; if the
    phone is a trunk, the bridge registers there.
    """
    host, port = phone.address
    to = {"to": f"phone:{DESK}" if registers else f"sip:{{0}}@{host}:{port}"}
    own: dict[str, Any] = {}
    if isinstance(phone, SipTrunk):
        to = {"trunk": "provider", "dial": "+{0}"}
        own = {"trunks": trunks or {"provider": trunk_of(phone)}}
    if registers:
        own = {"sip": {"phones": PHONES}}
    if trust:
        own = {"sip": {"trust_identity": list(trust)}}
    taken = {"username": username, "secret": secret, "from": ["127.0.0.0/8"], **accept}
    return BridgeConfig(
        NOWHERE,
        new_secret(),
        iax=(iax, IAX_PORT),
        overrides={
            "allow_inline_secrets": "true",
            "links": {"accept": taken, "extension": EXTENSION},
            "dialplan": [{"from": "hq", "match": r"27\d+", **to}],
            **own,
        },
    )


def trunk_of(trunk: SipTrunk, password: str = PASSWORD) -> dict[str, Any]:
    """A lab's trunk as it stands in a configuration."""
    host, port = trunk.address
    return {"server": f"{host}:{port}", "user": USER, "password": password, "domain": REALM}


@dataclass(frozen=True, slots=True)
class Sites:
    """Phone A at its bridge, the recorded link, and phone B at the other bridge."""

    near: BridgeProcess
    far: BridgeProcess
    link: LinkProxy
    phone_a: SipPhone
    phone_b: SipPhone
    stalls: StallWatch

    async def dial(
        self, number: str = NUMBER, caller: str = CALLER, extra: Sequence[tuple[str, str]] = ()
    ) -> PhoneCall:
        """Phone A calls, with more headers."""
        to = f"9{number}"
        call = await self.phone_a.call(self.near.sip, to, caller, extra=tuple(extra))
        call.audio.source = call.audio.marked
        return call

    async def called(self) -> PhoneCall:
        """Phone B, once it is called."""
        return await next_call(self.phone_b)

    def heard(self, listener: PhoneAudio, speaker: PhoneAudio, sender: BridgeProcess) -> Echo:
        """What became of a speaker's frames, which `sender` put on the link."""
        return heard(listener, speaker, sender, len(self.stalls.late_at_s))


async def next_call(phone: SipPhone) -> PhoneCall:
    """The next call that a phone gets, with audio.

    Raises:
        LabError: None came.
    """
    with trio.move_on_after(CALLED_WITHIN_S):
        call = await phone.incoming.receive()
        call.audio.source = call.audio.marked
        return call
    raise LabError("the phone was not called")


def heard(listener: PhoneAudio, speaker: PhoneAudio, bridge: BridgeProcess, stalls: int) -> Echo:
    """What became of a speaker's frames on their way through a bridge to its link."""
    over = [entry for entry in bridge.log_entries() if entry.get("event") == "call over"]
    given_up = sum(over[-1].get(name, 0) for name in GIVEN_UP) if over else 0
    return Echo(listener.report_from(speaker), given_up, stalls)


@asynccontextmanager
async def open_sites(
    folder: Path,
    link: Mapping[str, Any],
    trunk: SipTrunk | None = None,
    trust: Sequence[str] = (),
    **accept: Any,  # noqa: ANN401
) -> AsyncIterator[Sites]:
    """Run the set; leaving the block checks how the bridges end, and that nothing is left or told.

    Args:
        folder: Where both configurations go.
        link: Settings of the calling bridge's link.
        trunk: Where the other one calls numbers in the place of a phone.
        trust: Networks that both believe whom they assert to call.
        accept: What the other one accepts, beside name, secret and networks.
    """
    secret, iax = new_secret(), free_iax_address()
    for name in ("near", "far"):
        (folder / name).mkdir()
    async with open_phone() as phone_a, open_phone() as phone_c, open_proxy(iax) as proxy:
        phone_b = trunk or phone_c
        takes = accepting(iax, phone_b, USERNAME, secret, trust=trust, **accept)
        own = {"links": dict(link), "sip": {"trust_identity": list(trust)}}
        calls = BridgeConfig(f"{proxy.address[0]}:{proxy.address[1]}", secret, overrides=own)
        async with (
            open_lab_nursery() as nursery,
            run_bridge(takes, folder / "far", "debug") as far,
            run_bridge(calls, folder / "near", "debug") as near,
        ):
            stalls = StallWatch([os.getpid(), near.pid, far.pid])
            nursery.start_soon(stalls.run)
            yield Sites(near, far, proxy, phone_a, phone_b, stalls)
        for bridge in (near, far):
            assert_nothing_left(bridge)
            assert NUMBER not in bridge.output()
            assert CALLER not in bridge.output()
            assert secret not in bridge.output()
        assert_absent(proxy.datagrams, [NUMBER, CALLER])
