"""The bridge as its users run it, between a SIP phone and a far end of our own engine."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import trio

from tests.lab.bridge_process import BridgeConfig, BridgeProcess, run_bridge
from tests.lab.engine_far_end import EngineFarEnd, FarCall, open_far_end
from tests.lab.phone import SipPhone, open_phone
from tests.lab.phone_call import PhoneCall
from tests.lab.scene import assert_nothing_left

NUMBER = "5551234"
ENDS_WITHIN_S = 1.0
QUICK_DIALING = {"slots": 12, "slot_ms": 20, "start_ms": [0, 40], "terminator": "#"}
FRAME_MS = 20


@dataclass(frozen=True, slots=True)
class Flow:
    """A phone, a bridge and a far end."""

    bridge: BridgeProcess
    phone: SipPhone
    far: EngineFarEnd

    async def dial(self, number: str = NUMBER, **options: Any) -> PhoneCall:  # noqa: ANN401
        """Calls, and returns at once."""
        return await self.phone.call(self.bridge.sip, f"9{number}", **options)

    async def talk(self) -> tuple[PhoneCall, FarCall]:
        """A call that is up, with audio from the phone."""
        call = await self.dial()
        call.audio.source = call.audio.marked
        await call.answered(5)
        return call, self.far.calls[-1]


@asynccontextmanager
async def open_flow(
    folder: Path,
    link: Mapping[str, Any] | None = None,
    **overrides: Any,  # noqa: ANN401
) -> AsyncIterator[Flow]:
    """Run the set; leaving the block checks how the bridge ends, and that nothing is left."""
    async with open_far_end() as far, open_phone() as phone:
        own = {"links": {"dialing": QUICK_DIALING, **(link or {})}, **overrides}
        config = BridgeConfig(far.address, far.secret, overrides=own)
        async with run_bridge(config, folder, "debug") as bridge:
            yield Flow(bridge, phone, far)
        assert_nothing_left(bridge)


def statuses(call: PhoneCall) -> list[int]:
    """What the bridge has answered the phone's INVITE, but for 100."""
    return [seen.message.status for seen in call.responses if seen.message.status > 100]


async def ended_by_bye(call: PhoneCall) -> str:
    """Wait until the bridge has hung up; return its Reason."""
    with trio.fail_after(ENDS_WITHIN_S):
        await call.ended.wait()
    (bye,) = [seen.message for seen in call.requests if seen.message.method == "BYE"]
    return bye.get("reason")


def gaps_ms(call: FarCall) -> set[int]:
    """How far apart the voice frames of a call are."""
    stamps = sorted(heard.timestamp_ms for heard in call.voice)
    return {after - before for before, after in pairwise(stamps)}
