"""`siax demo`, as its users run it."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import trio

from tests.lab.phone import open_phone

ROOT: Final = Path(__file__).resolve().parents[2]
DEMO: Final = (sys.executable, "-m", "bridge", "demo")
WITHIN_S: Final = 60.0
STOP_S: Final = 10.0
SLOTS: Final = 26
CLAIMS: Final = 14
FRAME: Final = re.compile(r"^ +\d+\.\d{3} s  (.+?)  +(\d+) octets  call", re.MULTILINE)


class Demo:
    """A running demo and what it has said."""

    def __init__(self, process: trio.Process) -> None:
        self.process = process
        self.said = ""
        self._news = trio.Event()

    async def collect(self) -> None:
        assert self.process.stdout is not None
        async for chunk in self.process.stdout:
            self.said += chunk.decode()
            self._news.set()
            self._news = trio.Event()

    async def says(self, text: str) -> None:
        with trio.fail_after(WITHIN_S):
            while text not in self.said:
                await self._news.wait()

    async def ends(self, within_s: float) -> int:
        with trio.fail_after(within_s):
            return await self.process.wait()


@asynccontextmanager
async def running_demo(*options: str) -> AsyncIterator[Demo]:
    async with trio.open_nursery() as nursery:
        process = await trio.lowlevel.open_process(
            [*DEMO, *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        demo = Demo(process)
        nursery.start_soon(demo.collect)
        try:
            yield demo
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()


async def test_the_demo_holds_what_it_claims() -> None:
    async with running_demo() as demo:
        assert await demo.ends(WITHIN_S) == 0, demo.said
    said = demo.said
    assert said.isascii()
    assert said.rstrip().endswith("All is well: the call went through, and the link tells nothing.")
    assert len(re.findall(r"^  ok     ", said, re.MULTILINE)) == CLAIMS
    assert "WRONG" not in said
    dialed = re.search(r"(\d{10}) dials 9 (\d{10,14})\n", said)
    assert dialed is not None
    assert f"encrypted   digits {dialed[2]}\n" in said
    frames = FRAME.findall(said)
    assert frames.count(("bridge -> far end", "36")) >= SLOTS
    assert ("bridge -> far end", "85") in frames  # the NEW
    on_the_link = said[said.index("What an eavesdropper") : said.index("What the far end")]
    assert "nothing found" in on_the_link
    assert dialed[1] not in on_the_link
    assert dialed[2] not in on_the_link


async def test_a_softphone_calls_the_bridge_that_stays_up() -> None:
    async with running_demo("--hold") as demo, open_phone() as phone:
        await demo.says("Ctrl-C")
        where = re.search(r"address +(127\.0\.0\.1), port (\d+)", demo.said)
        assert where is not None
        call = await phone.call((where[1], int(where[2])), "95551234")
        call.audio.source = call.audio.marked
        await call.answered(10)
        await demo.says("has received 5551234")
        await trio.sleep(4)  # two seconds of tone, then the echo
        assert call.audio.echo_report().sent > 25
        demo.process.send_signal(signal.SIGINT)
        assert await demo.ends(STOP_S) == 0, demo.said
        with trio.fail_after(STOP_S):
            await call.ended.wait()
    assert "the peer hung up" in demo.said
    assert "Traceback" not in demo.said


async def test_an_interrupted_demo_ends_in_order() -> None:
    async with running_demo() as demo:
        await demo.says("dials 9")
        demo.process.send_signal(signal.SIGINT)
        assert await demo.ends(STOP_S) == 1
    assert "Ending: the calls first" in demo.said
    assert "Verdict" not in demo.said
    assert "Traceback" not in demo.said
