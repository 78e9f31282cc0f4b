"""baresip, a softphone of Debian's: headless, with a tone in place of a microphone.

Owns one process, its folder and its control connection, on which commands go and events come as
JSON in netstrings. What it hears is written into another WAV file.

    async with open_baresip(folder, Account("sip:desk@127.0.0.1", "secret")) as phone:
        await phone.event("REGISTER_OK")
        await phone.command("dial", "sip:95551234@127.0.0.1:5060")
        await phone.event("CALL_ESTABLISHED")
"""

import json
import struct
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

import trio

from tests.lab import LabError
from tests.lab.addresses import free_udp_port
from tests.lab.debian_tools import fetch_program
from tests.lab.nursery import open_lab_nursery
from tests.lab.wav import write_tone

PACKAGE: Final = "baresip-core"
SUITE: Final = "trixie"
MODULES: Final = "usr/lib/baresip/modules"
AT_ONCE: Final = ("g711", "aufile", "aubridge", "sndfile", "srtp")
AFTER_THEM: Final = ("account", "menu", "ctrl_tcp")
"""account reads what the modules before it must know; applications come last."""
HOST: Final = "127.0.0.1"
"""Its audio comes from wherever the kernel likes: on the loopback device, from here."""
RATE_HZ: Final = 8000
HEADER_OCTETS: Final = 44
STARTED_WITHIN_S: Final = 10.0
ENDS_WITHIN_S: Final = 3.0
EVENT_S: Final = 10.0
PRESSED_WITHIN_S: Final = 15.0
LOOK_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Account:
    """Who registers where, and how.

    Attributes:
        address: sip:USER@HOST:PORT;transport=… of the registrar.
        password: Its password.
        srtp: Encrypted audio: offered, and demanded of whoever calls.
        digits: How keys are sent: rtpevent or info.
    """

    address: str
    password: str = field(repr=False)
    srtp: bool = False
    digits: str = "rtpevent"

    def line(self) -> str:
        """The account as baresip's file has it."""
        encryption = ";mediaenc=srtp-mand" if self.srtp else ""
        return (
            f"<{self.address}>;auth_pass={self.password};regint=60"
            f";dtmfmode={self.digits}{encryption}"
        )


@dataclass
class Baresip:
    """A running baresip; made by `open_baresip`.

    Attributes:
        events: All that it told, oldest first.
    """

    process: trio.Process = field(repr=False)
    folder: Path
    events: list[dict[str, Any]] = field(default_factory=list)
    log: bytearray = field(default_factory=bytearray, repr=False)
    _control: trio.SocketStream | None = None
    _told: int = 0
    _news: trio.Condition = field(default_factory=trio.Condition)

    async def command(self, name: str, parameters: str = "") -> None:
        """Give a command; events tell what becomes of it, since its answer may say the contrary."""
        assert self._control is not None
        text = json.dumps({"command": name, "params": parameters}).encode()
        await self._control.send_all(b"%d:%b," % (len(text), text))

    async def event(self, kind: str, within_s: float = EVENT_S) -> dict[str, Any]:
        """The next event of a type, behind the one that was waited for last.

        Raises:
            LabError: None came in time.
        """
        with trio.move_on_after(within_s):
            async with self._news:
                while True:
                    for number, event in enumerate(self.events[self._told :], start=self._told):
                        if event.get("type") == kind:
                            self._told = number + 1
                            return event
                    await self._news.wait()
        raise LabError(f"baresip: no {kind} within {within_s} s; it wrote:\n{self._end_of_log()}")

    async def call(self, uri: str) -> None:
        """See Softphone."""
        await self.command("dial", uri)

    async def sees_ringing(self) -> None:
        """See Softphone."""
        await self.event("CALL_RINGING")

    async def rings(self) -> None:
        """See Softphone."""
        await self.event("CALL_INCOMING")

    async def answer(self) -> None:
        """See Softphone."""
        await self.command("accept")

    async def talks(self) -> None:
        """See Softphone."""
        await self.event("CALL_ESTABLISHED")

    async def hold(self) -> None:
        """See Softphone."""
        await self.command("hold")

    async def resume(self) -> None:
        """See Softphone."""
        await self.command("resume")

    async def give_to(self, uri: str) -> None:
        """See Softphone."""
        await self.command("transfer", uri)

    async def hang_up(self) -> None:
        """See Softphone."""
        await self.command("hangup")

    async def is_over(self) -> None:
        """See Softphone."""
        await self.event("CALL_CLOSED")

    def digits(self) -> str:
        """The keys that whoever is in the call has pressed."""
        pressed = [e for e in self.events if e.get("type") == "CALL_DTMF_START"]
        return "".join(str(event["param"]) for event in pressed)

    async def pressed(self, digits: str) -> str:
        """Wait until it has been told of so many keys, and whether more come; return them."""
        with trio.move_on_after(PRESSED_WITHIN_S):
            while len(self.digits()) < len(digits):  # noqa: ASYNC110 # another process tells
                await trio.sleep(LOOK_S)
            await trio.sleep(1.0)
        return self.digits()

    def heard(self) -> list[int]:
        """What it has heard in its call, as linear samples at 8000 Hz.

        Nothing is added once the phone itself has held the call: sndfile loses track there.
        """
        (recording,) = self.folder.glob("dump-*-dec.wav")
        audio = recording.read_bytes()[HEADER_OCTETS:]
        return list(struct.unpack(f"<{len(audio) // 2}h", audio[: len(audio) // 2 * 2]))

    async def connect(self, port: int) -> None:
        """Reach its control port.

        Raises:
            LabError: It does not open one.
        """
        with trio.move_on_after(STARTED_WITHIN_S):
            while self._control is None and self.process.returncode is None:
                with suppress(OSError):
                    self._control = await trio.open_tcp_stream(HOST, port)
                await trio.sleep(0.02)
        if self._control is None:
            raise LabError(f"baresip does not start:\n{self._end_of_log()}")

    async def collect_log(self) -> None:
        """Read what it writes, to the end."""
        assert self.process.stdout is not None
        async for piece in self.process.stdout:
            self.log.extend(piece)

    async def collect_events(self) -> None:
        """Read what it tells, to the end."""
        assert self._control is not None
        buffer = b""
        async with self._control:
            async for piece in self._control:
                found, buffer = _netstrings(buffer + piece)
                self.events += map(json.loads, found)
                async with self._news:
                    self._news.notify_all()

    async def leave(self) -> None:
        """Leave no process behind, whatever has happened; it unregisters when it can."""
        with trio.CancelScope(shield=True):
            self.process.terminate()
            with trio.move_on_after(ENDS_WITHIN_S):
                await self.process.wait()
            if self.process.returncode is None:
                self.process.kill()
            await self.process.wait()

    def _end_of_log(self) -> str:
        return "\n".join(self.log.decode(errors="replace").splitlines()[-330:])


@asynccontextmanager
async def open_baresip(
    folder: Path,
    account: Account,
    *,
    tone_hz: float = 700.0,
    certificate: Path | None = None,
    answers: bool = False,
) -> AsyncIterator[Baresip]:
    """Run one on ports of its own.

    Args:
        folder: For its configuration and recordings.
        account: Its one account, which registers at once.
        tone_hz: What it says.
        certificate: The one that the registrar must show over TLS.
        answers: Whether it answers calls by itself.
    """
    command, control_port = await trio.to_thread.run_sync(_write, folder, tone_hz, certificate)
    process = await trio.lowlevel.open_process(
        [*command, "-f", str(folder), "-v"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    phone = Baresip(process, folder)
    async with open_lab_nursery() as nursery:
        nursery.start_soon(phone.collect_log)
        try:
            await phone.connect(control_port)
            nursery.start_soon(phone.collect_events)
            await phone.command("uanew", account.line() + (";answermode=auto" if answers else ""))
            yield phone
        finally:
            await phone.leave()


def _write(folder: Path, tone_hz: float, certificate: Path | None) -> tuple[list[str], int]:
    """Fetches it and writes its folder; its command and its control port."""
    tree, command = _fetch()
    control_port = free_udp_port()
    folder.mkdir()
    write_tone(folder / "says.wav", tone_hz)
    configuration = _configuration(folder, tree / MODULES, control_port, certificate)
    (folder / "config").write_text(configuration)
    (folder / "accounts").touch()  # else it writes one of its own
    return command, control_port


@cache
def _fetch() -> tuple[Path, list[str]]:
    modules = [f"{MODULES}/{name}.so" for name in (*AT_ONCE, *AFTER_THEM)]
    return fetch_program(PACKAGE, SUITE, ["usr/bin/baresip", *modules])


def _netstrings(octets: bytes) -> tuple[list[bytes], bytes]:
    """What is whole among netstrings, and what is left."""
    found = []
    while (length := octets.partition(b":")[0]).isdigit():
        begin = len(length) + 1
        end = begin + int(length)
        if len(octets) <= end:
            break
        found.append(octets[begin:end])
        octets = octets[end + 1 :]
    return found, octets


def _configuration(folder: Path, modules: Path, control_port: int, certificate: Path | None) -> str:
    load: Sequence[str] = [
        *(f"module {name}.so" for name in AT_ONCE),
        f"module_tmp {AFTER_THEM[0]}.so",
        *(f"module_app {name}.so" for name in AFTER_THEM[1:]),
    ]
    verify = f"sip_cafile {certificate}" if certificate else "sip_verify_server no"
    return "\n".join(
        [
            f"module_path {modules}",
            f"sip_listen {HOST}:{free_udp_port()}",
            f"net_interface {HOST}",
            verify,
            f"audio_source aufile,{folder}/says.wav",
            "audio_player aubridge,nobody",  # takes all, and plays nothing
            f"snd_path {folder}",
            f"ausrc_srate {RATE_HZ}",
            f"auplay_srate {RATE_HZ}",
            f"ctrl_tcp_listen {HOST}:{control_port}",
            *load,
            "",
        ]
    )
