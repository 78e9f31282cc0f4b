"""Runs one real Asterisk as a peer: its folder, its process, its control socket.

Owns nothing of what the peer is told: that is in asterisk_config. Several run side by side, each
on a loopback address of its own.

    with AsteriskPeer(fetch_asterisk("sid"), far_end("127.0.0.11", secret)) as peer: ...
"""

import re
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.lab import LabError
from tests.lab.addresses import can_bind
from tests.lab.asterisk_config import DIGITS_LOG, HERE, IAX_PORT, INDICATIONS, PeerSettings
from tests.lab.asterisk_fetch import AsteriskTree

START_S = 20.0
STOP_S = 5.0
CLI_S = 15.0
_EMPTY_FILES = (
    "acl.conf ccss.conf cli.conf codecs.conf dnsmgr.conf features.conf indications.conf"
    " manager.conf pjproject.conf stasis.conf sorcery.conf udptl.conf cel.conf"
)


@dataclass(frozen=True, slots=True)
class ReceivedCall:
    """A call whose digits a far end has read, as the far end noted it."""

    digits: str
    secure_media: str
    caller: str


class AsteriskPeer:
    """A running Asterisk; a context manager that starts and stops it.

    Attributes:
        settings: What it was started with.
        tree: Which Asterisk it is.
        folder: Its own folder: etc, log, run, spool, and what its dial plan writes.
        start_s: How long it took until it said that it had fully booted.
    """

    def __init__(self, tree: AsteriskTree, settings: PeerSettings) -> None:
        self.settings = settings
        self.folder = Path()
        self.start_s = 0.0
        self.tree = tree
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process to measure or to signal."""
        return self._running().pid

    def __enter__(self) -> Self:
        # Two Asterisks may share a port, for they set SO_REUSEADDR: neither would notice.
        if not can_bind(self.settings.address, IAX_PORT):
            raise LabError(f"UDP port {IAX_PORT} of {self.settings.address} is taken")
        # A control socket's path is limited to 107 octets, which pytest's folders exceed.
        self.folder = Path(tempfile.mkdtemp(prefix="siax-ast-"))
        try:
            self._write_folder()
            self._start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def stop(self) -> None:
        """Ends the process, by its own pid; harmless when it is gone already."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def restart(self) -> None:
        """Kills the process, which says no goodbye, and starts it anew with the same files."""
        self._running().kill()
        self._running().wait()
        self._start()

    def cli(self, command: str) -> str:
        """What the control socket answers to a command.

        Raises:
            LabError: Asterisk does not answer.
        """
        done = self._ask(command)
        if done.returncode != 0:
            raise LabError(f"Asterisk at {self.settings.address}: {command!r}: {done.stdout}")
        return done.stdout

    def channel_count(self) -> int:
        """How many channels are up; 0 once every call has ended."""
        found = re.search(r"(\d+) active channel", self.cli("core show channels count"))
        if found is None:
            raise LabError("Asterisk does not tell its channels")
        return int(found[1])

    def received_calls(self) -> list[ReceivedCall]:
        """The calls whose digits were read, in order."""
        log = self.folder / DIGITS_LOG
        lines = log.read_text().splitlines() if log.exists() else []
        return [ReceivedCall(*line.split("|", 2)) for line in lines]

    def forget_calls(self) -> None:
        """Empties the list of received calls."""
        (self.folder / DIGITS_LOG).unlink(missing_ok=True)

    def log_text(self) -> str:
        """All that Asterisk wrote: its console and its log files."""
        return "".join(p.read_text(errors="replace") for p in (self.folder / "log").glob("*.log"))

    def _log_end(self) -> str:
        return "\n".join(self.log_text().splitlines()[-30:])

    def _start(self) -> None:
        started = time.monotonic()
        with (self.folder / "log" / "console.log").open("wb") as console:
            self._process = subprocess.Popen(
                [*self.tree.command(), "-C", str(self._configuration), "-f"],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # an interrupt at the terminal is ours to pass on
            )
        self._await_boot(started + START_S)
        self.start_s = time.monotonic() - started

    def _await_boot(self, deadline: float) -> None:
        """Waits until Asterisk itself says that it is up; only its socket's birth is polled."""
        control = self.folder / "run" / "asterisk.ctl"
        while self._running().poll() is None and time.monotonic() < deadline:
            if control.exists() and self._ask("core waitfullybooted").returncode == 0:
                return self._refuse_errors()
            time.sleep(0.01)
        raise LabError(f"Asterisk at {self.settings.address} did not start:\n{self._log_end()}")

    def _refuse_errors(self) -> None:
        """One that could not bind a port or read a file runs on, but is not what was asked for."""
        if " ERROR[" in self.log_text():
            raise LabError(f"Asterisk at {self.settings.address} has errors:\n{self._log_end()}")

    def _ask(self, command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.tree.command(), "-C", str(self._configuration), "-rx", command],
            capture_output=True,
            text=True,
            check=False,
            timeout=CLI_S,
        )

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise LabError(f"Asterisk at {self.settings.address} is not running")
        return self._process

    @property
    def _configuration(self) -> Path:
        return self.folder / "etc" / "asterisk.conf"

    def _write_folder(self) -> None:
        for name in ("etc", "log", "run", "lib/keys", "spool", "db"):
            (self.folder / name).mkdir(parents=True)
        files = dict.fromkeys(_EMPTY_FILES.split(), "")
        files["asterisk.conf"] = self._asterisk_conf()
        loads = "".join(f"load => {name}.so\n" for name in self.settings.modules)
        files["cdr.conf"] = "[general]\nenable=no\n"
        files["indications.conf"] = INDICATIONS
        files["modules.conf"] = f"[modules]\nautoload=no\n{loads}"
        files["logger.conf"] = "[general]\n[logfiles]\nmessages.log => notice,warning,error\n"
        for name, text in {**files, **self.settings.files}.items():
            (self.folder / "etc" / name).write_text(text.replace(HERE, str(self.folder)))
        for name, pem in self.settings.keys.items():
            path = self.folder / "lib" / "keys" / name
            path.touch(0o600)
            path.write_bytes(pem)

    def _asterisk_conf(self) -> str:
        own, tree = self.folder, self.tree
        return f"""[directories]
astetcdir => {own}/etc
astmoddir => {tree.modules}
astvarlibdir => {own}/lib
astdbdir => {own}/db
astkeydir => {own}/lib
astdatadir => {tree.data}
astagidir => {own}/lib
astspooldir => {own}/spool
astrundir => {own}/run
astlogdir => {own}/log
[options]
defaultlanguage=en_US_f_Allison
nocolor=yes
"""
