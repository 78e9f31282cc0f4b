"""Mutated SIP over UDP and TCP: the service stays up, its memory flat, a call keeps its audio."""

import random
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

import trio

from tests.fuzz.sip_messages import hostile
from tests.lab.hostile_sip import Target, assert_audio, open_target
from tests.lab.results import record, sized

MESSAGES: Final = sized(600, 100_000)
TCP_SHARE: Final = 0.3
BATCH: Final = 10
WARM_UP_SHARE: Final = 0.4
GROWTH_MAX: Final = 16 << 20
"""What transactions that last 32 s take more at one time than at another, and a heap's holes."""

PHONES: Final = {"phones": [{"user": "desk", "password": "a password of the desk phone"}]}


async def test_mutated_messages(tmp_path: Path) -> None:
    seed = time.time_ns() % (1 << 40)
    print(f"first seed: {seed}")
    async with open_target(tmp_path, PHONES) as target:
        call = await target.talk()
        warm = int(MESSAGES * WARM_UP_SHARE)
        await _attack(target, range(seed, seed + warm))
        before = target.memory()
        await _attack(target, range(seed + warm, seed + MESSAGES))
        growth = target.memory() - before
        echo = await target.hang_up(call)
        await (await target.talk()).bye()
    figures = {"messages": MESSAGES, "memory_growth_kb": growth // 1024, **echo.figures()}
    record("mutated SIP messages", figures)
    assert growth < GROWTH_MAX, figures
    assert_audio(echo)


async def _attack(target: Target, seeds: range) -> None:
    """Send what the seeds give; after each batch the bridge has to answer something good."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as raw:
        raw.bind((target.host(3), 5060))
        raw.settimeout(0)
        for begin in range(seeds.start, seeds.stop, BATCH):
            dice = random.Random(begin)
            batch = [hostile(seed) for seed in range(begin, min(begin + BATCH, seeds.stop))]
            over_tcp = [text for text in batch if dice.random() < TCP_SHARE]
            for text in batch:
                if text not in over_tcp:
                    with suppress(BlockingIOError):
                        raw.sendto(text, target.address)
            await _over_tcp(target, over_tcp, dice)
            try:
                await target.assert_alive()
            except Exception:
                print(f"the bridge broke within {BATCH} seeds from {begin}")
                raise
            with suppress(BlockingIOError):
                while True:
                    raw.recv(65535)


async def _over_tcp(target: Target, texts: list[bytes], dice: random.Random) -> None:
    """Several on a connection, as the bridge closes it or not; some in two pieces."""
    while texts:
        some, texts = texts[:5], texts[5:]
        with suppress(trio.BrokenResourceError, OSError):
            stream = await trio.open_tcp_stream(*target.address)
            async with stream:
                for text in some:
                    cut = dice.randrange(len(text) + 1)
                    await stream.send_all(text[:cut])
                    await stream.send_all(text[cut:])
