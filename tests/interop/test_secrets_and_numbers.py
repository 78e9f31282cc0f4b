"""Proof: at the most verbose setting the bridge writes no number, no caller and no secret."""

import random
from pathlib import Path

import trio

from tests.lab.asterisk import AsteriskPeer
from tests.lab.bridge_process import SECRET_FILE
from tests.lab.capture import assert_absent
from tests.lab.results import record, sized
from tests.lab.scene import Scene, open_scene

TELLING_DIGITS = 9


async def test_a_random_number_shows_nowhere(
    echo_22: AsteriskPeer, link_secret: str, tmp_path: Path
) -> None:
    echo_22.forget_calls()
    dice = random.SystemRandom()
    told: list[str] = []
    async with open_scene(echo_22, link_secret, tmp_path) as scene:
        for _ in range(sized(1, 20)):
            number, caller = _digits(dice, 15), _digits(dice, 12)
            told += [number, caller]
            await _call_in_every_way(scene, number, caller)
    written = [scene.bridge.output(), *_files(tmp_path)]
    for text in written:
        for secret in [*_telling_parts(told), link_secret]:
            assert secret not in text, "a number, a caller or the secret was written"
    assert_absent(scene.link.datagrams, [*told, link_secret])
    figures = {"numbers": len(told), "octets_searched": sum(len(text) for text in written)}
    record("secrets and numbers", figures)


async def _call_in_every_way(scene: Scene, number: str, caller: str) -> None:
    """A good call, one given up, one without route, an undialable one, one that is too long."""
    call = await scene.dial(number, caller)
    await call.answered(10)
    await call.audio.send_digits(number[:3], 0.5)
    await trio.sleep(0.5)
    await call.bye()
    given_up = await scene.dial(number, caller)
    await given_up.status(180, 5)
    await given_up.cancel()
    for called, status in ((f"7{number}", 404), (f"9{number}x", 404), (f"9{number * 2}", 484)):
        refused = await scene.phone.call(scene.bridge.sip, called, caller, f"Caller {caller}")
        assert (await refused.status(200, 5)).status == status


def _digits(dice: random.Random, count: int) -> str:
    return "".join(dice.choices("0123456789", k=count))


def _telling_parts(numbers: list[str]) -> set[str]:
    """Parts of numbers that do not stand in logs by chance alone."""
    starts = range(15 - TELLING_DIGITS + 1)
    parts = {number[n : n + TELLING_DIGITS] for number in numbers for n in starts}
    return {part for part in parts if len(part) == TELLING_DIGITS}


def _files(folder: Path) -> list[str]:
    """What the bridge left on disk, without what we gave it."""
    given = {folder / "siax.yaml", folder / SECRET_FILE}
    paths = [path for path in folder.rglob("*") if path.is_file() and path not in given]
    return [path.read_bytes().decode("latin-1") for path in paths]
