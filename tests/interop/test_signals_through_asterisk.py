"""Proof, interop: in-call digits and tones, with an Asterisk that bridges on to a SIP phone."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from tests.lab.addresses import free_iax_address, free_udp_port
from tests.lab.asterisk import AsteriskPeer
from tests.lab.asterisk_config import SipSide, far_end
from tests.lab.asterisk_fetch import AsteriskTree
from tests.lab.phone import open_phone
from tests.lab.phone_audio import PhoneAudio
from tests.lab.results import record, sized
from tests.lab.scene import no_channel_left, open_scene
from tests.lab.tone import tone_share

NUMBER = "49301234567"
EVERY_DIGIT = "0123456789*#ABCD"
RINGBACK_HZ, BUSY_HZ = (440.0, 480.0), (480.0, 620.0)


@pytest.fixture
def sip_side() -> SipSide:
    return SipSide(free_udp_port(), phone_port=free_udp_port())


@pytest.fixture(params=["22", "16"])
def bridging_peer(
    request: pytest.FixtureRequest,
    trees: dict[str, AsteriskTree],
    link_secret: str,
    sip_side: SipSide,
) -> Iterator[AsteriskPeer]:
    settings = far_end(free_iax_address(), link_secret, ["Dial(PJSIP/phone,20)"], sip_side)
    with AsteriskPeer(trees[request.param], settings) as peer:
        yield peer


async def test_in_call_digits_arrive_as_rfc_4733_each_once(
    bridging_peer: AsteriskPeer, link_secret: str, sip_side: SipSide, tmp_path: Path
) -> None:
    digits = EVERY_DIGIT * sized(1, 10)
    address = bridging_peer.settings.address
    async with (
        open_scene(address, link_secret, tmp_path) as scene,
        open_phone("127.0.0.1", sip_side.phone_port) as callee,
    ):
        call = await scene.dial(NUMBER)
        with trio.fail_after(15):
            taken = await callee.incoming.receive()
        taken.audio.source = taken.audio.marked
        taken.ring()
        await call.answered(10)
        await trio.sleep(1.5)
        ringback = _share(call.audio, 20, RINGBACK_HZ)
        await taken.answer()
        await trio.sleep(0.5)
        await call.audio.send_digits(digits, 0.6)
        await taken.audio.send_digits("42", 0.6)
        await trio.sleep(1.5)
        await taken.bye()
        with trio.fail_after(2):
            await call.ended.wait()
        await no_channel_left(bridging_peer)
    assert taken.audio.digits_received() == digits
    assert call.audio.digits_received() == "42"
    assert ringback > 0.8
    figures = {"asterisk": bridging_peer.tree.version, "digits": len(digits), "wrong": 0}
    record("in-call digits to a SIP phone", figures)


async def test_busy_after_the_answer_is_heard(
    trees: dict[str, AsteriskTree], link_secret: str, tmp_path: Path
) -> None:
    settings = far_end(free_iax_address(), link_secret, ["Busy(4)"])
    with AsteriskPeer(trees["22"], settings) as peer:
        async with open_scene(settings.address, link_secret, tmp_path) as scene:
            call = await scene.dial(NUMBER)
            await call.answered(10)
            await trio.sleep(2)
            assert _share(call.audio, 100, BUSY_HZ) > 0.8
            with trio.fail_after(6):
                await call.ended.wait()
            assert call.ended_by_peer
            await no_channel_left(peer)


def _share(audio: PhoneAudio, packets: int, pair_hz: tuple[float, float]) -> float:
    """The loudest 100 ms of the last packets: the share of a pair of frequencies in it."""
    heard = [packet.payload for packet in audio.audio_received()[-packets:]]
    pieces = [b"".join(heard[n : n + 5]) for n in range(0, len(heard) - 4, 5)]
    return max((sum(tone_share(piece, hz) for hz in pair_hz) for piece in pieces), default=0.0)
