"""Emergency calls: from a phone to a trunk, in clear, at once, and nothing of them on the link."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from tests.lab.bridge_process import BridgeConfig, BridgeProcess, run_bridge
from tests.lab.engine_far_end import open_far_end
from tests.lab.flow import QUICK_DIALING, statuses
from tests.lab.nursery import open_lab_nursery
from tests.lab.phone import SipPhone, open_phone
from tests.lab.phone_audio import PhoneAudio
from tests.lab.phone_call import PCMA, PhoneCall
from tests.lab.proxy import LinkProxy, open_proxy
from tests.lab.results import record, sized
from tests.lab.scene import GIVEN_UP, Echo, assert_nothing_left
from tests.lab.stalls import StallWatch
from tests.lab.status_command import answer
from tests.lab.trunk import PASSWORD, Demand, SipTrunk, open_trunk
from tests.lab.two_sites import next_call, trunk_of

WITHIN_S = 5.0


@dataclass(frozen=True, slots=True)
class Emergency:
    """A phone, a bridge with a recorded link, and the trunk."""

    bridge: BridgeProcess
    phone: SipPhone
    trunk: SipTrunk
    link: LinkProxy
    stalls: StallWatch

    async def dial(self, number: str = "112", **options: Any) -> PhoneCall:  # noqa: ANN401
        call = await self.phone.call(self.bridge.sip, number, **options)
        call.audio.source = call.audio.marked
        return call

    async def talk(self, number: str = "112", **options: Any) -> tuple[PhoneCall, PhoneCall]:  # noqa: ANN401
        call = await self.dial(number, **options)
        taken = await next_call(self.trunk)
        await taken.answer()
        await call.answered(WITHIN_S)
        return call, taken

    def heard(self, listener: PhoneAudio, speaker: PhoneAudio) -> Echo:
        over = [e for e in self.bridge.log_entries() if e.get("event") == "emergency call over"]
        given_up = sum(over[-1][name] for name in GIVEN_UP)
        return Echo(listener.report_from(speaker), given_up, len(self.stalls.late_at_s))


@asynccontextmanager
async def open_emergency(folder: Path, **more: Any) -> AsyncIterator[Emergency]:  # noqa: ANN401
    """Run the set; leaving the block checks that nothing is left or told."""
    async with (
        open_far_end() as far,
        open_phone() as phone,
        open_trunk(Demand(("SHA-256",), as_proxy=True)) as trunk,
        open_proxy(far.address) as link,
    ):
        own = {
            "allow_inline_secrets": "true",
            "trunks": {"provider": trunk_of(trunk)},
            "emergency": {"numbers": ["112", "911"], "route": "provider"},
            "links": {"dialing": QUICK_DIALING, "qualify_s": "off"},
            **more,
        }
        peer = f"{link.address[0]}:{link.address[1]}"
        config = BridgeConfig(peer, far.secret, overrides=own)
        async with open_lab_nursery() as nursery, run_bridge(config, folder, "debug") as bridge:
            stalls = StallWatch([os.getpid(), bridge.pid])
            nursery.start_soon(stalls.run)
            yield Emergency(bridge, phone, trunk, link, stalls)
        assert_nothing_left(bridge)
        assert PASSWORD not in bridge.output()


async def over(call: PhoneCall) -> None:
    with trio.fail_after(WITHIN_S):
        await call.ended.wait()


async def test_both_are_heard_and_the_link_is_silent(tmp_path: Path) -> None:
    async with open_emergency(tmp_path) as scene:
        call = await scene.dial()
        taken = await next_call(scene.trunk)
        assert taken.called_user == "112"
        assert statuses(call) == []
        taken.ring()
        await call.status(180, WITHIN_S)
        await trio.sleep(0.5)
        assert statuses(call) == [180]
        await taken.answer()
        await call.answered(WITHIN_S)
        assert statuses(call) == [180, 183, 200]
        await trio.sleep(sized(3, 60))
        call.audio.send_digit("5")
        await trio.sleep(0.5)
        await call.bye()
        await over(taken)
        await scene.bridge.logged("emergency call over", WITHIN_S)
        ways = {
            "to_trunk": scene.heard(taken.audio, call.audio),
            "to_phone": scene.heard(call.audio, taken.audio),
        }
        status = await answer(tmp_path)
        assert status["phones"]["emergency"] == 1
        assert status["links"][0]["calls"] == 0
        assert scene.link.datagrams == []
    for way in ways.values():
        assert way.report.sent > 100
        assert way.is_good, way
    assert taken.audio.digits_received() == "5"
    record("emergency call", {name: way.figures() for name, way in ways.items()})


async def test_behind_the_outside_line_and_in_another_law(tmp_path: Path) -> None:
    async with open_emergency(tmp_path) as scene:
        call, taken = await scene.talk("9112", formats=(PCMA,))
        assert taken.called_user == "112"
        await trio.sleep(0.5)
        assert len(call.audio.audio_received()) > 10
        await taken.bye()
        await over(call)
        assert scene.link.datagrams == []


async def test_busy_and_given_up(tmp_path: Path) -> None:
    async with open_emergency(tmp_path) as scene:
        call = await scene.dial("911")
        (await next_call(scene.trunk)).refuse("486 Busy Here")
        await call.status(400, WITHIN_S)
        assert statuses(call) == [486]
        call = await scene.dial()
        taken = await next_call(scene.trunk)
        taken.ring()
        await call.status(180, WITHIN_S)
        await call.cancel()
        await over(taken)
        assert taken.ended_by_peer
        assert (await call.status(400, WITHIN_S)).status == 487
        assert scene.link.datagrams == []


async def test_no_limit_refuses_or_ends_it(tmp_path: Path) -> None:
    limits = {"calls_max": 1, "phone_calls_max": 1, "phone_calls_per_s": 1, "duration_s": 1}
    async with open_emergency(tmp_path, limits=limits) as scene:
        calls = [await scene.talk() for _ in range(3)]
        await trio.sleep(2.0)
        for call, taken in calls:
            assert not call.ended.is_set()
            await call.bye()
            await over(taken)
