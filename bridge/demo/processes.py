"""The two processes of the demo: the bridge as its users run it, and the phone.

Owns their start, what they write, and their end: none outlives the block that runs it. Each has a
session of its own, so that Ctrl-C reaches the demo alone, which then ends them in order.
"""

import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import trio

from bridge.demo.lines import lines_of
from bridge.demo.phone import PhoneEvent, PhoneOrder
from bridge.demo.stage import DemoError
from bridge.demo.verdict import STOP_S

READY_S: Final = 20.0
MESSAGES_SHOWN: Final = 8

_PACKAGE_PARENT: Final = Path(__file__).resolve().parents[2]


@dataclass(eq=False, slots=True)
class BridgeProcess:
    """A running bridge.

    Attributes:
        log: The entries of its log.
        output: All that it wrote, to either stream.
        stop_s: How long it took to end; None while it runs, or where it had to be killed.
    """

    process: trio.Process = field(repr=False)
    log: list[dict[str, Any]] = field(default_factory=list, repr=False)
    output: list[str] = field(default_factory=list, repr=False)
    stop_s: float | None = None
    ready: trio.Event = field(default_factory=trio.Event)
    ended: trio.Event = field(default_factory=trio.Event)

    @property
    def exit_code(self) -> int | None:
        """Its exit code; None while it runs."""
        return self.process.returncode

    def entry(self, event: str) -> dict[str, Any] | None:
        """Return the first log entry of an event."""
        return next((entry for entry in self.log if entry.get("event") == event), None)

    @property
    def last_words(self) -> str:
        """What it wrote for its user; where that is nothing, the end of all that it wrote."""
        said = [line for line in self.output if line.startswith(("siax: ", "error: "))]
        return "\n".join(said or self.output[-MESSAGES_SHOWN:])

    def take_line(self, line: str) -> None:
        """Take a line that it wrote."""
        self.output.append(line)
        if not line.startswith("{"):
            return
        try:
            entry = json.loads(line)
        except ValueError:
            return
        self.log.append(entry)
        if entry.get("event") == "ready":
            self.ready.set()

    async def stop(self) -> None:
        """End it by SIGTERM, or by force when it takes longer than it promises."""
        if self.exit_code is None:
            asked_at = trio.current_time()
            self.process.send_signal(signal.SIGTERM)
            with trio.move_on_after(STOP_S):
                await self.process.wait()
                self.stop_s = trio.current_time() - asked_at
        if self.exit_code is None:
            self.process.kill()
        await self.ended.wait()


@asynccontextmanager
async def run_bridge(configuration: Path) -> AsyncIterator[BridgeProcess]:
    """Run a bridge that is ready for calls, its log at its most verbose.

    Raises:
        DemoError: It does not start; the text holds what it says.
    """
    options = ("--log-level", "debug", "--log-format", "json")
    async with trio.open_nursery() as nursery:
        process = await _open((*_module("bridge"), "run", str(configuration), *options))
        bridge = BridgeProcess(process)
        nursery.start_soon(_collect, bridge)
        try:
            await _until_ready(bridge)
            yield bridge
        finally:
            with trio.CancelScope(shield=True):
                await bridge.stop()


async def _until_ready(bridge: BridgeProcess) -> None:
    with trio.move_on_after(READY_S):
        async with trio.open_nursery() as nursery:
            for event in (bridge.ready, bridge.ended):
                nursery.start_soon(_first_of, event, nursery.cancel_scope)
    if not bridge.ready.is_set():
        raise DemoError(f"the bridge does not start; it says: {bridge.last_words}")


async def _first_of(event: trio.Event, others: trio.CancelScope) -> None:
    await event.wait()
    others.cancel()


async def _collect(bridge: BridgeProcess) -> None:
    await _collect_streams(bridge.process, bridge.take_line, bridge.take_line)
    with trio.CancelScope(shield=True):
        await bridge.process.wait()
    bridge.ended.set()


@dataclass(eq=False, slots=True)
class PhoneProcess:
    """A phone, in a process of its own.

    Attributes:
        on_event: Called with each thing that it tells.
        events: All that it has told, in order.
        complaints: What it wrote beside that.
    """

    process: trio.Process = field(repr=False)
    on_event: Callable[[dict[str, Any]], object] = field(default=bool, repr=False)
    events: list[dict[str, Any]] = field(default_factory=list, repr=False)
    complaints: list[str] = field(default_factory=list, repr=False)
    _silent: bool = False
    _news: trio.Event = field(default_factory=trio.Event)

    def told(self, *wanted: PhoneEvent) -> dict[str, Any] | None:
        """Return the first of some events, None where it has told none of them."""
        return next((event for event in self.events if event["event"] in wanted), None)

    async def wait_for(self, *wanted: PhoneEvent, within_s: float) -> dict[str, Any] | None:
        """Wait for the first of some events; None when none comes in time, or ever will."""
        with trio.move_on_after(within_s):
            while self.told(*wanted) is None and not self._silent:
                await self._news.wait()
        return self.told(*wanted)

    async def order(self, order: PhoneOrder) -> None:
        """Tell it whom to call; one that has died already is not told."""
        if self.process.stdin is not None:
            with suppress(trio.BrokenResourceError):
                await self.process.stdin.send_all(json.dumps(asdict(order)).encode() + b"\n")

    async def hang_up(self) -> None:
        """Tell it to hang up, and to report."""
        if self.process.stdin is not None:
            await self.process.stdin.aclose()

    async def collect(self) -> None:
        """Take what it tells, up to its end."""
        await _collect_streams(self.process, self._take, self.complaints.append)
        self._silent = True
        self._notify()

    def _take(self, line: str) -> None:
        if not line.startswith("{"):
            self.complaints.append(line)  # pjsip writes to standard output before it is told not to
            return
        event = json.loads(line)
        self.events.append(event)
        self.on_event(event)
        self._notify()

    def _notify(self) -> None:
        self._news.set()
        self._news = trio.Event()


@asynccontextmanager
async def run_phone() -> AsyncIterator[PhoneProcess]:
    """Run a phone that waits for its order; leaving the block ends it."""
    async with trio.open_nursery() as nursery:
        process = await _open(_module("bridge.demo.phone"), stdin=subprocess.PIPE)
        phone = PhoneProcess(process)
        nursery.start_soon(phone.collect)
        try:
            yield phone
        finally:
            with trio.CancelScope(shield=True):
                await _end_phone(phone)


async def _end_phone(phone: PhoneProcess) -> None:
    await phone.hang_up()
    with trio.move_on_after(STOP_S):
        await phone.process.wait()
        return
    phone.process.kill()
    await phone.process.wait()


def _module(name: str) -> tuple[str, ...]:
    return sys.executable, "-m", name


async def _open(command: Sequence[str], stdin: int = subprocess.DEVNULL) -> trio.Process:
    return await trio.lowlevel.open_process(
        command,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=_PACKAGE_PARENT,
        start_new_session=True,
    )


async def _collect_streams(
    process: trio.Process, take_output: Callable[[str], None], take_error: Callable[[str], None]
) -> None:
    """Read both streams to their ends, which come with the end of the process and not before."""
    with trio.CancelScope(shield=True):
        await _collect_both(process, take_output, take_error)


async def _collect_both(
    process: trio.Process, take_output: Callable[[str], None], take_error: Callable[[str], None]
) -> None:
    async with trio.open_nursery() as nursery:
        for stream, take in ((process.stdout, take_output), (process.stderr, take_error)):
            if stream is not None:
                nursery.start_soon(_collect_stream, stream, take)


async def _collect_stream(stream: trio.abc.ReceiveStream, take: Callable[[str], None]) -> None:
    async for line in lines_of(stream):
        take(line)
