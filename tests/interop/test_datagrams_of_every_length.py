"""Proof: datagrams of every length, injected between the good ones of a call, change nothing."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from tests.lab.addresses import free_iax_address
from tests.lab.asterisk import AsteriskPeer
from tests.lab.capture import Address, Datagram
from tests.lab.proxy import LinkProxy
from tests.lab.results import record, sized
from tests.lab.scene import no_channel_left, open_scene

NUMBER = "49301234567"
LENGTHS = range(301)
SPACING_S = 0.007

Forge = Callable[[int, list[Datagram], random.Random], bytes]


def _noise(length: int, _good: list[Datagram], dice: random.Random) -> bytes:
    return dice.randbytes(length)


def _like_a_mini_frame(length: int, good: list[Datagram], dice: random.Random) -> bytes:
    minis = [datagram for datagram in good if not datagram.payload[0] & 0x80]
    return (minis[-1].payload[:2] + dice.randbytes(length))[:length]


def _like_a_full_frame(length: int, good: list[Datagram], dice: random.Random) -> bytes:
    full = [datagram for datagram in good if datagram.payload[0] & 0x80]
    return (full[-1].payload[:4] + dice.randbytes(length))[:length]


def _a_good_one_cut_or_stretched(length: int, good: list[Datagram], dice: random.Random) -> bytes:
    return (good[-1].payload + dice.randbytes(length))[:length]


@pytest.mark.parametrize(
    "forge",
    [_noise, _like_a_mini_frame, _like_a_full_frame, _a_good_one_cut_or_stretched],
    ids=["noise", "mini", "full", "cut-or-stretched"],
)
async def test_audio_goes_on(
    echo_22: AsteriskPeer, link_secret: str, tmp_path: Path, forge: Forge
) -> None:
    rounds = sized(1, 20)
    async with open_scene(echo_22, link_secret, tmp_path) as scene:
        call = await scene.dial(NUMBER)
        await call.answered(10)
        await trio.sleep(0.5)
        (client,) = scene.link.clients()
        for number in range(rounds):
            await _inject_all(scene.link, client, forge, random.Random(number))
        await trio.sleep(0.5)
        assert not call.ended.is_set()
        await call.bye()
        await no_channel_left(echo_22)
    echo = scene.echo(call)
    assert echo.report.sent > 100
    assert echo.is_good, echo
    figures = {
        "kind": forge.__name__.strip("_"),
        "injected": 2 * rounds * len(LENGTHS),
        **echo.figures(),
    }
    record("datagrams of every length", figures)


async def _inject_all(link: LinkProxy, client: Address, forge: Forge, dice: random.Random) -> None:
    stranger = free_iax_address()
    for length in LENGTHS:
        good = [datagram for datagram in link.datagrams[-200:] if datagram.destination == client]
        forged = forge(length, good, dice)
        await link.inject(forged, client)
        await link.inject_from_elsewhere(forged, client, stranger)
        await trio.sleep(SPACING_S)
