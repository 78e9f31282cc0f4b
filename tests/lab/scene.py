"""The whole set for one proof: phone -> bridge -> recording proxy -> far end."""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from tests.lab import LabError
from tests.lab.asterisk import AsteriskPeer, ReceivedCall
from tests.lab.bridge_process import BridgeConfig, BridgeProcess, run_bridge
from tests.lab.nursery import open_lab_nursery
from tests.lab.phone import SipPhone, open_phone
from tests.lab.phone_audio import EchoReport
from tests.lab.phone_call import PCMA, PCMU, PhoneCall
from tests.lab.proxy import Impairment, LinkProxy, open_proxy
from tests.lab.results import sized
from tests.lab.stalls import StallWatch

DIAL_PREFIX = "9"
POLL_S = 0.05
LOSS_MAX = 0.001
LATE_LOSS_MAX = sized(0.01, LOSS_MAX)
"""Where the machine was late: tests at small size share it, proofs at full size have it alone."""
_LEFT_OVER = ("calls_left", "link_calls_left", "media_left", "sip_legs_left")


GIVEN_UP = ("buffer_late", "buffer_overruns", "buffer_slips")
"""What the bridge's reorder buffer drops because the phone's frames came late."""


@dataclass(frozen=True, slots=True)
class Echo:
    """Marked frames that went to the far end and back.

    Attributes:
        report: What the phone saw.
        given_up: Frames that the bridge's reorder buffer says it has dropped.
        stalls: How often the machine was late during the scene.
    """

    report: EchoReport
    given_up: int
    stalls: int

    @property
    def is_good(self) -> bool:
        """Whether less than 0.1 % was lost; of under 1,000 frames, which cannot tell that, one.

        Where the machine was late, so were the phone's frames, and a reorder buffer of at most
        three must drop some: these do not count then. Else every frame does.
        """
        lost = self.report.lost - (self.given_up if self.stalls else 0)
        share = LATE_LOSS_MAX if self.stalls else LOSS_MAX
        return self.report.sent > 0 and lost <= max(1, share * self.report.sent)

    def figures(self) -> dict[str, float]:
        """For the record: everything, excused or not."""
        return {
            "frames": self.report.sent,
            "lost": self.report.lost,
            "of_these_given_up_by_the_reorder_buffer": min(self.given_up, self.report.lost),
            "machine_was_late": self.stalls,
            "echo_delay_p50_ms": self.report.delay_p50_ms,
            "echo_delay_p99_ms": self.report.delay_p99_ms,
        }


@dataclass
class Scene:
    """What stands on the stage; the bridge's link points at the proxy."""

    bridge: BridgeProcess
    link: LinkProxy
    phone: SipPhone
    stalls: StallWatch

    async def dial(
        self, digits: str, caller: str = "lab", formats: tuple[int, ...] = (PCMU, PCMA)
    ) -> PhoneCall:
        """Calls the bridge; the digits are those that the far end has to receive."""
        number = DIAL_PREFIX + digits
        call = await self.phone.call(self.bridge.sip, number, caller, formats=formats)
        call.audio.source = call.audio.marked
        return call

    async def talk(self, call: PhoneCall, for_s: float) -> None:
        """Holds a call.

        Raises:
            LabError: It ended before its time.
        """
        with trio.move_on_after(for_s):
            await call.ended.wait()
            raise LabError("the call ended while it was to be held")

    async def hang_up(self, call: PhoneCall) -> None:
        """The phone hangs up, over a link that loses nothing any more.

        Asterisk acknowledges a HANGUP once and answers no repetition. With that ACK lost the bridge
        repeats it for 8 s, and rightly has the call left when it is stopped meanwhile.
        """
        self.link.impairment = Impairment()
        await call.bye()

    def echo(self, call: PhoneCall) -> Echo:
        """What became of the frames of a call that is over, the bridge's only one or its last."""
        over = [entry for entry in self.bridge.log_entries() if entry.get("event") == "call over"]
        given_up = sum(over[-1].get(name, 0) for name in GIVEN_UP) if over else 0
        return Echo(call.audio.echo_report(), given_up, len(self.stalls.late_at_s))


@asynccontextmanager
async def open_scene(
    target: AsteriskPeer | str,
    secret: str,
    folder: Path,
    *,
    overrides: Mapping[str, Any] | None = None,
    impairment: Impairment | None = None,
    log_level: str = "debug",
    deaf_peer: bool = False,
) -> AsyncIterator[Scene]:
    """Sets the scene; leaving the block also checks that the bridge has nothing left over.

    Args:
        target: The far end, or an address where nobody listens.
        secret: The link's secret at the bridge.
        folder: Where the bridge's configuration goes.
        overrides: Merged into the bridge's configuration.
        impairment: What the link does to datagrams.
        log_level: The bridge's.
        deaf_peer: The far end acknowledges no HANGUP, so one may still be repeated at the end.
    """
    at = target if isinstance(target, str) else target.settings.address
    async with open_proxy(at, impairment) as link, open_lab_nursery() as nursery:
        config = BridgeConfig(
            f"{link.address[0]}:{link.address[1]}", secret, overrides=overrides or {}
        )
        async with run_bridge(config, folder, log_level) as bridge, open_phone() as phone:
            stalls = StallWatch([os.getpid(), bridge.pid])
            nursery.start_soon(stalls.run)
            yield Scene(bridge, link, phone, stalls)
    assert_nothing_left(bridge, except_for=("link_calls_left",) if deaf_peer else ())


def assert_nothing_left(bridge: BridgeProcess, except_for: tuple[str, ...] = ()) -> None:
    """Asserts that a bridge which has stopped had no calls, legs or sockets left.

    Raises:
        AssertionError: It had.
    """
    stopped = [entry for entry in bridge.log_entries() if entry.get("event") == "stopped"]
    assert len(stopped) == 1, "the bridge did not tell how it stopped"
    left = {name: stopped[0].get(name, 0) for name in _LEFT_OVER if name not in except_for}
    assert not any(left.values()), f"the bridge left behind: {left}"


async def received_calls(peer: AsteriskPeer, count: int, within_s: float) -> list[ReceivedCall]:
    """Waits until a far end has read the digits of so many calls.

    Raises:
        LabError: It has not, within that time; no digits are told.
    """
    with trio.move_on_after(within_s):
        while len(peer.received_calls()) < count:  # noqa: ASYNC110 # another process writes it
            await trio.sleep(POLL_S)
    calls = peer.received_calls()
    if len(calls) < count:
        raise LabError(f"the far end read {len(calls)} calls of {count}")
    return calls


async def no_channel_left(peer: AsteriskPeer, within_s: float = 5.0) -> None:
    """Waits until a far end has no channel any more.

    Raises:
        LabError: One stays.
    """
    with trio.move_on_after(within_s):
        while await trio.to_thread.run_sync(peer.channel_count):  # noqa: ASYNC110 # as above
            await trio.sleep(POLL_S)
        return
    raise LabError("the far end still has a channel: nobody hung it up")
