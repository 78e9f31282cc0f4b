"""The bridge as its users run it: `python -m bridge run CONFIG` in a process of its own.

Owns the configuration file that it is given, made from one of configs/, its output, and its end:
SIGTERM has to end it within 3 s, as is promised, or the block that ran it fails.
"""

import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio
import yaml

from tests.lab import LabError
from tests.lab.addresses import free_udp_port
from tests.lab.nursery import open_lab_nursery
from tests.lab.sip_message import place_of

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "configs" / "asterisk-link.yaml"
READY_S = 20.0
STOP_S = 3.0
SECRET_FILE = "secrets/hq"  # a path

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class BridgeConfig:
    """A configuration of configs/ with what differs on this machine.

    Attributes:
        peer: "host:port" of the far end.
        secret: The link's secret.
        sip: Where phones reach the bridge.
        iax: Where it speaks IAX2 from.
        overrides: Merged into the configuration last, mapping by mapping; `links` holds settings
            for the one link of the example.
        example: The configuration to begin with.
        more_links: Links besides the example's one.
    """

    peer: str
    secret: str = field(repr=False)
    sip: Address = ("127.0.0.1", 0)
    iax: Address = ("127.0.0.1", 0)
    overrides: Mapping[str, Any] = field(default_factory=dict)
    example: Path = EXAMPLE
    more_links: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def write(self, folder: Path) -> tuple[Path, Address]:
        """Writes the file and its secret; returns its path and the SIP address chosen."""
        host, port = self.sip
        sip = (host, port or free_udp_port(host))
        iax_port = self.iax[1] or free_udp_port(self.iax[0])
        model = self._example()
        name = next(iter(model["links"]))
        link = {"peer": self.peer, "secret": {"file": SECRET_FILE}}
        local = {
            "sip": {
                "listen": [f"udp://{place_of(*sip)}"],
                "media_address": sip[0],
                "allow": ["127.0.0.0/8"],
            },
            "iax": {"bind": f"{self.iax[0]}:{iax_port}"},
            "links": {name: link, **self.more_links},
        }
        own = dict(self.overrides)
        if "links" in own:
            own["links"] = {name: own["links"]}
        path = folder / "siax.yaml"
        path.write_text(yaml.safe_dump(merged(merged(model, local), own)))
        secret = folder / SECRET_FILE
        secret.parent.mkdir(exist_ok=True)
        secret.write_text(self.secret + "\n")
        secret.chmod(0o600)
        return path, sip

    def _example(self) -> dict[str, Any]:
        if not self.example.exists():
            raise LabError(f"{self.example.relative_to(ROOT)} is missing")
        model: dict[str, Any] = yaml.safe_load(self.example.read_text())
        return model


@dataclass
class BridgeProcess:
    """A running bridge and all that it has written."""

    process: trio.Process = field(repr=False)
    sip: Address
    stdout: bytearray = field(default_factory=bytearray, repr=False)
    stderr: bytearray = field(default_factory=bytearray, repr=False)
    stop_s: float = 0.0
    _news: trio.Condition = field(default_factory=trio.Condition)

    @property
    def pid(self) -> int:
        """The process to measure."""
        return self.process.pid

    def output(self) -> str:
        """Everything that it wrote, to either stream."""
        return (self.stdout + b"\n" + self.stderr).decode(errors="replace")

    def log_entries(self) -> list[dict[str, Any]]:
        """The JSON lines of its log."""
        found = []
        for line in self.output().splitlines():
            if line.startswith("{") and line.endswith("}"):
                entry = json.loads(line)
                if isinstance(entry, dict):
                    found.append(entry)
        return found

    async def logged(self, event: str, within_s: float) -> dict[str, Any]:
        """Waits for a log entry whose event is, or whose text contains, the one named.

        Raises:
            LabError: It did not come, or the bridge has ended.
        """
        with trio.move_on_after(within_s):
            async with self._news:
                while True:
                    for entry in self.log_entries():
                        if event in str(entry.get("event")):
                            return entry
                    if self.process.returncode is not None:
                        break
                    await self._news.wait()
        raise LabError(f"the bridge did not log {event!r}; it wrote:\n{self.end_of_output()}")

    async def stop(self) -> None:
        """Ends it by SIGTERM.

        Raises:
            LabError: It took more than 3 s, or its exit code is not 0.
        """
        if self.process.returncode is not None:
            raise LabError(f"the bridge died:\n{self.end_of_output()}")
        started = trio.current_time()
        self.process.send_signal(signal.SIGTERM)
        with trio.move_on_after(STOP_S):
            await self.process.wait()
        self.stop_s = trio.current_time() - started
        if self.process.returncode is None:
            raise LabError(f"the bridge did not end within {STOP_S} s of SIGTERM")
        if self.process.returncode != 0:
            raise LabError(f"exit code {self.process.returncode}:\n{self.end_of_output()}")

    async def collect(self, stream: trio.abc.ReceiveStream, into: bytearray) -> None:
        """Reads one of its streams to the end."""
        with suppress(trio.ClosedResourceError):  # the block is left
            async for piece in stream:
                into.extend(piece)
                async with self._news:
                    self._news.notify_all()
        await self.process.wait()
        async with self._news:
            self._news.notify_all()

    async def leave(self) -> None:
        """Leaves no process and no pipe behind, whatever has happened."""
        with trio.CancelScope(shield=True):
            if self.process.returncode is None:
                self.process.terminate()  # so that it hangs up, and the far end is free again
            with trio.move_on_after(STOP_S):
                await self.process.wait()
            if self.process.returncode is None:
                self.process.kill()
            await self.process.wait()
            for stream in (self.process.stdout, self.process.stderr):
                if stream is not None:
                    await trio.aclose_forcefully(stream)

    def end_of_output(self) -> str:
        """The last of what it wrote, for whoever has to find out what went wrong."""
        return "\n".join(self.output().splitlines()[-30:])


@asynccontextmanager
async def run_bridge(
    config: BridgeConfig, folder: Path, log_level: str = "info", options: Sequence[str] = ()
) -> AsyncIterator[BridgeProcess]:
    """Runs a bridge that is ready for calls; leaving the block ends it and checks how it ended."""
    path, sip = config.write(folder)
    command = [sys.executable, "-m", "bridge", "run", str(path)]
    options = ["--log-level", log_level, "--log-format", "json", *options]
    async with open_lab_nursery() as nursery:
        process = await trio.lowlevel.open_process(
            [*command, *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            start_new_session=True,
        )
        bridge = BridgeProcess(process, sip)
        assert process.stdout is not None
        assert process.stderr is not None
        nursery.start_soon(bridge.collect, process.stdout, bridge.stdout)
        nursery.start_soon(bridge.collect, process.stderr, bridge.stderr)
        try:
            await bridge.logged("ready", READY_S)
            yield bridge
            await bridge.stop()
        except Exception as error:
            error.add_note(f"The bridge had written:\n{bridge.end_of_output()}")
            raise
        finally:
            await bridge.leave()


def merged(base: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """A mapping with another laid over it, mapping by mapping; None removes a key."""
    result = dict(base)
    for key, value in other.items():
        below = result.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            result[key] = merged(below, value)
        elif value is None:
            result.pop(key, None)
        else:
            result[key] = value
    return result
