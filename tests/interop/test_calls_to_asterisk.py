"""Proof, interop: a call reaches a real Asterisk with the configuration that we ship."""

import random
from pathlib import Path

import pytest
import trio

from tests.lab.asterisk import AsteriskPeer
from tests.lab.capture import assert_absent, can_capture, capture_loopback
from tests.lab.results import record, sized
from tests.lab.scene import Scene, no_channel_left, open_scene, received_calls

NUMBERS = ("112", "49301234567", "314159265358979323846264")
CALLER = "4420794600"
ANSWER_S = 10.0
SLOT_S = 0.5
CNG_OCTETS = 36


@pytest.mark.parametrize("digits", NUMBERS, ids=lambda digits: f"{len(digits)}-digits")
async def test_exactly_the_digits_arrive_and_audio_comes_back(
    echo_peer: AsteriskPeer, link_secret: str, tmp_path: Path, digits: str
) -> None:
    async with open_scene(echo_peer, link_secret, tmp_path) as scene:
        call = await scene.dial(digits, CALLER)
        await call.answered(ANSWER_S)
        await scene.talk(call, sized(4, 60))
        await call.bye()
        await no_channel_left(echo_peer)
    (received,) = await received_calls(echo_peer, 1, 2)
    assert received.digits == digits
    assert received.secure_media == "1"
    assert CALLER not in received.caller
    echo = scene.echo(call)
    assert echo.report.sent > 150
    assert echo.is_good, echo
    assert_absent(scene.link.datagrams, [digits, CALLER])
    record(
        "call to Asterisk",
        {
            "asterisk": echo_peer.tree.version,
            "digits": len(digits),
            "answered_s": round(call.final_after_s(), 3),
            "datagrams_searched": len(scene.link.datagrams),
            **echo.figures(),
        },
    )


async def test_random_numbers_one_after_the_other(
    echo_peer: AsteriskPeer, link_secret: str, tmp_path: Path
) -> None:
    dice = random.Random(sized(1, 2))
    lengths = [dice.randint(1, 25) for _ in range(sized(3, 100))]
    numbers = ["".join(dice.choices("0123456789", k=length)) for length in lengths]
    async with open_scene(echo_peer, link_secret, tmp_path) as scene:
        for count, number in enumerate(numbers, start=1):
            call = await scene.dial(number)
            await call.answered(ANSWER_S)
            # A call that ends within a moment of its last digit is over before Asterisk logs it.
            await received_calls(echo_peer, count, 2)
            await call.bye()
        await no_channel_left(echo_peer)
    calls = await received_calls(echo_peer, len(numbers), 2)
    assert [call.digits for call in calls] == numbers
    assert {call.secure_media for call in calls} == {"1"}
    figures = {"asterisk": echo_peer.tree.version, "calls": len(calls), "wrong": 0}
    record("random numbers to Asterisk", figures)


async def test_nothing_shows_on_the_device_either(
    echo_22: AsteriskPeer, link_secret: str, tmp_path: Path
) -> None:
    """The proxy sees what is sent to it; the device, if we may look, sees everything."""
    echo_22.forget_calls()
    number = "".join(random.Random(15).choices("0123456789", k=15))
    async with open_scene(echo_22, link_secret, tmp_path) as scene:
        if can_capture():
            async with capture_loopback(echo_22.settings.address) as capture:
                await _short_call(scene, number)
            assert capture.dropped == 0
        else:
            await _short_call(scene, number)
            capture = scene.link
    assert_absent(capture.datagrams, [number, CALLER])


async def _short_call(scene: Scene, number: str) -> None:
    call = await scene.dial(number, CALLER)
    await call.answered(ANSWER_S)
    await trio.sleep(0.5)
    await call.bye()


async def test_a_signal_in_every_slot_harms_nothing(
    echo_peer: AsteriskPeer, link_secret: str, tmp_path: Path
) -> None:
    hold_s = sized(10, 600)
    said_before = _complaints(echo_peer)
    async with open_scene(echo_peer, link_secret, tmp_path) as scene:
        call = await scene.dial(NUMBERS[1])
        await call.answered(ANSWER_S)
        answered_at_s = trio.current_time()
        await scene.talk(call, hold_s)
        held_s = trio.current_time() - answered_at_s
        assert echo_peer.channel_count() == 1
        await call.bye()
        await no_channel_left(echo_peer)
    signals = [
        datagram
        for datagram in scene.link.datagrams
        if datagram.destination == scene.link.address
        and answered_at_s < datagram.at_s < answered_at_s + held_s
        and len(datagram.payload) == CNG_OCTETS
    ]
    assert len(signals) >= held_s / SLOT_S - 2
    echo = scene.echo(call)
    assert echo.is_good, echo
    assert _complaints(echo_peer) == said_before
    record(
        "a signal each 500 ms",
        {
            "asterisk": echo_peer.tree.version,
            "seconds": round(held_s),
            "frames_of_36_octets": len(signals),
            **echo.figures(),
        },
    )


def _complaints(peer: AsteriskPeer) -> list[str]:
    """What it warned of, but for frames that crossed its HANGUP: their call is over."""
    lines = [line for line in peer.log_text().splitlines() if "without existent call" not in line]
    return [line for line in lines if "WARNING[" in line or "ERROR[" in line]
