"""linphonec, Linphone's softphone for terminals: headless, with files in place of a sound card.

Owns one process, its folder and its terminal: commands go to its standard input, and what becomes
of them stands in its log.

    async with open_linphone(folder, Line("sip:desk@127.0.0.1;transport=tcp", "password")) as phone:
        await phone.command("call sip:95551234@127.0.0.1;transport=tcp")
        await phone.logs("LinphoneCallStreamsRunning")
"""

import os
import re
import struct
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import trio

from tests.lab import LabError
from tests.lab.addresses import free_udp_port
from tests.lab.wav import write_tone

HEADER_OCTETS: Final = 44
LOGS_WITHIN_S: Final = 15.0
POLL_S: Final = 0.1
ENDS_WITHIN_S: Final = 3.0
KEY_EVERY_S: Final = 0.6
SAYS_A_TONE: Final = partial(write_tone, tone_hz=700.0)


@dataclass(frozen=True, slots=True)
class Line:
    """Who registers where, and how.

    Attributes:
        address: sip:USER@HOST:PORT;transport=… of the registrar.
        password: Its password.
        srtp: Encrypted audio: offered, and demanded of whoever calls.
        keys: How they go: by rfc4733, or by SIP info; none, where only its audio tells.
    """

    address: str
    password: str = field(repr=False)
    srtp: bool = False
    keys: str = "rfc4733"

    def configuration(self, certificate: Path) -> str:
        """The file of linphonec."""
        user, _, place = self.address.removeprefix("sip:").partition("@")
        host = place.partition(":")[0]
        own = place.rpartition("=")[2]
        ports = {name: free_udp_port() if name == own else 0 for name in ("udp", "tcp", "tls")}
        return f"""[sip]
sip_port={ports["udp"]}
sip_tcp_port={ports["tcp"]}
sip_tls_port={ports["tls"]}
guess_hostname=0
root_ca={certificate}
verify_server_certs=1
verify_server_cn=0
client_cert_chain={certificate}
client_cert_key={certificate.with_suffix(".key")}
media_encryption={"srtp" if self.srtp else "none"}
media_encryption_mandatory={int(self.srtp)}
use_info={int(self.keys == "info")}
use_rfc2833={int(self.keys == "rfc4733")}
default_proxy=0
[rtp]
audio_rtp_port={free_udp_port()}
[proxy_0]
reg_proxy=<sip:{place}>
reg_identity=sip:{user}@{host}
reg_expires=600
reg_sendregister=1
[auth_info_0]
username={user}
passwd={self.password}
"""


@dataclass
class Linphone:
    """A running linphonec; made by `open_linphone`."""

    process: trio.Process = field(repr=False)
    folder: Path
    _read: int = 0

    async def command(self, text: str) -> None:
        """Type a line."""
        assert self.process.stdin is not None
        await self.process.stdin.send_all(f"{text}\n".encode())

    async def call(self, uri: str) -> None:
        """See Softphone."""
        await self.command(f"call {uri}")

    async def sees_ringing(self) -> None:
        """See Softphone."""
        await self.logs("to LinphoneCallOutgoingRinging")

    async def rings(self) -> None:
        """See Softphone."""
        await self.logs("to LinphoneCallIncomingReceived")

    async def answer(self) -> None:
        """See Softphone."""
        await self.command("answer")

    async def talks(self) -> None:
        """See Softphone."""
        await self.logs("to LinphoneCallStreamsRunning")

    async def hold(self) -> None:
        """See Softphone."""
        await self.command("pause")

    async def resume(self) -> None:
        """See Softphone."""
        await self.command("resume")

    async def give_to(self, uri: str) -> None:
        """See Softphone."""
        await self.command(f"transfer {uri}")

    async def hang_up(self) -> None:
        """See Softphone."""
        await self.command("terminate")

    async def is_over(self) -> None:
        """See Softphone."""
        await self.logs("to LinphoneCallEnd")

    async def press(self, digits: str) -> None:
        """Press keys in a call."""
        for digit in digits:
            await self.command(digit)
            await trio.sleep(KEY_EVERY_S)

    async def logs(self, pattern: str) -> None:
        """Wait until its log says what a regular expression matches, behind the last such place.

        Raises:
            LabError: It does not within 15 s.
        """
        log = self.folder / "log"
        with trio.move_on_after(LOGS_WITHIN_S):
            while True:
                text = log.read_text(errors="replace") if log.exists() else ""
                if found := re.compile(pattern).search(text, self._read):
                    self._read = found.end()
                    return
                await trio.sleep(POLL_S)
        raise LabError(f"linphonec does not say {pattern!r}")

    def heard(self) -> list[int]:
        """All that it has heard, as linear samples at 8000 Hz."""
        recording = self.folder / "heard.wav"
        audio = recording.read_bytes()[HEADER_OCTETS:] if recording.exists() else b""
        return list(struct.unpack(f"<{len(audio) // 2}h", audio[: len(audio) // 2 * 2]))

    async def leave(self) -> None:
        """Leave no process behind, whatever has happened."""
        with trio.CancelScope(shield=True):
            self.process.terminate()
            with trio.move_on_after(ENDS_WITHIN_S):
                await self.process.wait()
            if self.process.returncode is None:
                self.process.kill()
            await self.process.wait()
            assert self.process.stdin is not None
            await trio.aclose_forcefully(self.process.stdin)


@asynccontextmanager
async def open_linphone(
    folder: Path, line: Line, certificate: Path, says: Callable[[Path], None] = SAYS_A_TONE
) -> AsyncIterator[Linphone]:
    """Run one that registers at once.

    Args:
        folder: For its configuration and recordings.
        line: Its one account.
        certificate: The one that the registrar must show over TLS.
        says: Writes the WAV file that it says.
    """
    await trio.to_thread.run_sync(_write, folder, line, certificate, says)
    process = await trio.lowlevel.open_process(
        ["linphonec", "-c", "rc", "-b", "rc", "-d", "2", "-l", "log"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        env={**os.environ, "HOME": str(folder)},  # where it would keep a data base
        start_new_session=True,
    )
    phone = Linphone(process, folder)
    try:
        for command in ("soundcard use files", "play says.wav", "record heard.wav"):
            await phone.command(command)
        await phone.logs("LinphoneRegistrationOk")
        yield phone
    finally:
        await phone.leave()


def _write(folder: Path, line: Line, certificate: Path, says: Callable[[Path], None]) -> None:
    (folder / ".local/share/linphone").mkdir(parents=True)  # without, it never begins
    says(folder / "says.wav")
    (folder / "rc").write_text(line.configuration(certificate))
