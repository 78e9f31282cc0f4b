"""Proof, interop: a real Asterisk calls the bridge, its digits reach a SIP phone, both are heard.

A phone calls the Asterisk, which calls the bridge over encrypted IAX2 and sends number and
terminator as digits (Dial's D()), as a site without a bridge does.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio

from tests.lab.addresses import free_iax_address, free_udp_port
from tests.lab.asterisk import AsteriskPeer
from tests.lab.asterisk_config import USERNAME, PeerSettings, SipSide, sip_gateway
from tests.lab.asterisk_fetch import AsteriskTree
from tests.lab.bridge_process import BridgeProcess, run_bridge
from tests.lab.capture import assert_absent
from tests.lab.nursery import open_lab_nursery
from tests.lab.phone import SipPhone, open_phone
from tests.lab.phone_audio import PhoneAudio
from tests.lab.phone_call import PhoneCall
from tests.lab.proxy import LinkProxy, open_proxy
from tests.lab.results import record, sized
from tests.lab.scene import LOSS_MAX, assert_nothing_left, no_channel_left
from tests.lab.stalls import StallWatch
from tests.lab.tone import tone_share
from tests.lab.two_sites import NUMBER, accepting, heard, next_call

ANSWER_S = 10.0
ENDS_WITHIN_S = 5.0
REFUSAL_ENDS_WITHIN_S = 15.0
RINGBACK_HZ, BUSY_HZ, CONGESTION_HZ = (440.0, 480.0), (480.0, 620.0), (480.0, 620.0)


@dataclass(frozen=True, slots=True)
class Site:
    """A phone at a real Asterisk, the recorded link, and the bridge with its phone."""

    asterisk: AsteriskPeer
    sip: SipSide
    link: LinkProxy
    bridge: BridgeProcess
    phone_a: SipPhone
    phone_b: SipPhone
    stalls: StallWatch

    async def dial(self, number: str = NUMBER) -> PhoneCall:
        """Phone A calls its Asterisk."""
        at = (self.asterisk.settings.address, self.sip.port)
        call = await self.phone_a.call(at, f"9{number}", "4420794600")
        call.audio.source = call.audio.marked
        return call


@pytest.fixture(params=sized(["22"], ["22", "16"]))
def tree(request: pytest.FixtureRequest, trees: dict[str, AsteriskTree]) -> AsteriskTree:
    return trees[request.param]


@pytest.fixture
def sip() -> SipSide:
    return SipSide(free_udp_port(), phone_port=free_udp_port())


@asynccontextmanager
async def open_site(
    tree: AsteriskTree,
    sip: SipSide,
    secret: str,
    folder: Path,
    bridge_secret: str = "",
    *,
    in_clear: bool = False,
) -> AsyncIterator[Site]:
    """Run the set; leaving the block checks how the bridge ends, and that nothing is left."""
    bridge_at = free_iax_address()
    async with (
        open_phone("127.0.0.1", sip.phone_port) as phone_a,
        open_phone() as phone_b,
        open_proxy(bridge_at) as link,
        open_lab_nursery() as nursery,
    ):
        settings = sip_gateway(free_iax_address(), sip, link.address[0], secret)
        if in_clear:
            settings = _in_clear(settings)
        with AsteriskPeer(tree, settings) as asterisk:
            config = accepting(bridge_at, phone_b, USERNAME, bridge_secret or secret)
            async with run_bridge(config, folder, "debug") as bridge:
                stalls = StallWatch([os.getpid(), bridge.pid, asterisk.pid])
                nursery.start_soon(stalls.run)
                yield Site(asterisk, sip, link, bridge, phone_a, phone_b, stalls)
                await no_channel_left(asterisk)
        nursery.cancel_scope.cancel()
        assert_nothing_left(bridge)
        assert NUMBER not in bridge.output()
        assert_absent(link.datagrams, [NUMBER])


def _in_clear(settings: PeerSettings) -> PeerSettings:
    """The same Asterisk without encryption."""
    iax = settings.files["iax.conf"].replace("encryption=aes128\n", "")
    iax = iax.replace("forceencryption=yes\n", "")
    return PeerSettings(settings.address, {**settings.files, "iax.conf": iax}, settings.modules)


async def test_a_number_dialed_at_an_asterisk_rings_a_phone_and_both_are_heard(
    tree: AsteriskTree, sip: SipSide, link_secret: str, tmp_path: Path
) -> None:
    async with open_site(tree, sip, link_secret, tmp_path) as site:
        call = await site.dial()
        far_call = await next_call(site.phone_b)
        assert far_call.called_user == NUMBER
        await call.answered(ANSWER_S)
        far_call.ring()
        await trio.sleep(2.5)
        ringback = share(call.audio, 50, RINGBACK_HZ)
        await far_call.answer()
        await trio.sleep(sized(4, 60))
        await call.bye()
        with trio.fail_after(ENDS_WITHIN_S):
            await far_call.ended.wait()
        await site.bridge.logged("call over", ENDS_WITHIN_S)
        stalls = len(site.stalls.late_at_s)
        to_a = heard(call.audio, far_call.audio, site.bridge, stalls)
        to_b = far_call.audio.report_from(call.audio)
    assert ringback > 0.8
    assert to_a.report.sent > 150
    assert to_a.is_good, to_a
    assert to_b.sent > 150
    if not stalls:
        # Asterisk's own way from SIP to IAX2 loses a frame of a call now and then.
        assert to_b.lost <= max(2, LOSS_MAX * to_b.sent), to_b
    figures = {"asterisk": tree.version, "to_phone_a": to_a.figures(), "to_b_lost": to_b.lost}
    record("call from Asterisk", figures)


async def test_busy_and_a_wrong_number_are_heard_before_the_call_ends(
    tree: AsteriskTree, sip: SipSide, link_secret: str, tmp_path: Path
) -> None:
    async with open_site(tree, sip, link_secret, tmp_path) as site:
        call = await site.dial()
        (await next_call(site.phone_b)).refuse("486 Busy Here")
        await call.answered(ANSWER_S)
        await trio.sleep(2.0)
        assert share(call.audio, 75, BUSY_HZ) > 0.8
        with trio.fail_after(REFUSAL_ENDS_WITHIN_S):
            await call.ended.wait()
        call = await site.dial("31415")
        await call.answered(ANSWER_S)
        await trio.sleep(3.5)
        assert share(call.audio, 75, CONGESTION_HZ) > 0.8
        with trio.fail_after(REFUSAL_ENDS_WITHIN_S):
            await call.ended.wait()


async def test_the_called_phone_hangs_up_and_the_calling_one_gives_up(
    tree: AsteriskTree, sip: SipSide, link_secret: str, tmp_path: Path
) -> None:
    async with open_site(tree, sip, link_secret, tmp_path) as site:
        call = await site.dial()
        far_call = await next_call(site.phone_b)
        await far_call.answer()
        await call.answered(ANSWER_S)
        await trio.sleep(1.0)
        await far_call.bye()
        with trio.fail_after(ENDS_WITHIN_S):
            await call.ended.wait()
        call = await site.dial()
        far_call = await next_call(site.phone_b)
        far_call.ring()
        await call.answered(ANSWER_S)
        await trio.sleep(1.0)
        await call.bye()
        with trio.fail_after(ENDS_WITHIN_S):
            await far_call.ended.wait()
        # The ACK of our 487 may have come, too.
        assert "CANCEL" in {request.message.method for request in far_call.requests}


@pytest.mark.parametrize("what", ["wrong secret", "in clear"])
async def test_who_does_not_prove_the_secret_inside_the_encryption_reaches_nobody(
    trees: dict[str, AsteriskTree], sip: SipSide, link_secret: str, tmp_path: Path, what: str
) -> None:
    bridge_secret = f"{link_secret}x" if what == "wrong secret" else link_secret
    async with open_site(
        trees["22"], sip, link_secret, tmp_path, bridge_secret, in_clear=what == "in clear"
    ) as site:
        call = await site.dial()
        assert (await call.status(200, 45)).status >= 400
        assert site.phone_b.incoming.statistics().current_buffer_used == 0


def share(audio: PhoneAudio, frames: int, frequencies_hz: tuple[float, ...]) -> float:
    """The loudest 100 ms of the last frames: the share of some frequencies in it."""
    last = [packet.payload for packet in audio.audio_received()[-frames:]]
    pieces = [b"".join(last[n : n + 5]) for n in range(0, len(last) - 4, 5)]
    shares = (sum(tone_share(piece, hz) for hz in frequencies_hz) for piece in pieces)
    return max(shares, default=0.0)
