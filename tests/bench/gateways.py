"""The gateways under test: the bridge and Asterisk, each between the load and the far end.

Every gateway listens for SIP on an address of its own and calls the same far end with the same
secret. A gateway is a context manager; while it is open its process can be measured.
"""

import json
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, Self

from tests.bench.usage import keep_off_the_loads_core
from tests.lab import LabError
from tests.lab.asterisk import AsteriskPeer
from tests.lab.asterisk_config import IAX_PORT, SipSide, sip_gateway
from tests.lab.asterisk_fetch import SUITES, fetch_asterisk
from tests.lab.bridge_process import ROOT, BridgeConfig

SIP_PORT: Final = 5060
_RTP_PORTS: Final = (20000, 29999)
_START_S: Final = 20.0
_STOP_S: Final = 10.0
_LOG_END_CHARACTERS: Final = 3000


@dataclass(frozen=True, slots=True)
class Site:
    """The loopback addresses of one run, and the secret of its link."""

    far_end: str
    gateway: str
    phone: str
    secret: str = field(repr=False)

    @classmethod
    def free(cls) -> Self:
        """A loopback network that hardly another run has drawn, and a new secret.

        The addresses stay ours while nothing listens there, between one gateway and the next.
        """
        network = f"127.{64 + secrets.randbelow(128)}.{secrets.randbelow(256)}"
        return cls(
            far_end=f"{network}.11",
            gateway=f"{network}.12",
            phone=f"{network}.13",
            secret=secrets.token_urlsafe(32),
        )


class Gateway(AbstractContextManager["Gateway"], Protocol):
    """What the bench needs of a gateway."""

    @property
    def name(self) -> str:
        """As the tables call it."""

    @property
    def version(self) -> str:
        """Of the software."""

    @property
    def sip_address(self) -> str:
        """Where it takes calls, as "host:port"."""

    @property
    def pid(self) -> int:
        """The process to measure, with its children."""

    def __enter__(self) -> Self:
        """Starts it; ready to take calls."""

    def finish(self) -> Mapping[str, int]:
        """Ends it and counts what was left of ended calls: all zero, unless it leaks."""


class AsteriskGateway:
    """Asterisk 22: chan_pjsip in, chan_iax2 encrypted out, mu-law on both sides."""

    name = "asterisk"

    def __init__(self, site: Site) -> None:
        tree = fetch_asterisk(SUITES["22"])
        side = SipSide(port=SIP_PORT, rtp_ports=_RTP_PORTS, codecs="ulaw")
        settings = sip_gateway(site.gateway, side, site.far_end, site.secret, for_load=True)
        self.version = tree.version
        self.sip_address = f"{site.gateway}:{SIP_PORT}"
        self._peer = AsteriskPeer(tree, settings)

    @property
    def pid(self) -> int:
        return self._peer.pid

    def __enter__(self) -> Self:
        self._peer.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._peer.__exit__(kind, error, at)

    def finish(self) -> Mapping[str, int]:
        left = self._peer.channel_count()
        self._peer.stop()
        return {"channels_left": left}


class BridgeGateway:
    """The bridge as users start it: `python -m bridge run CONFIG`, mu-law on both sides.

    It has one thread that matters, and is kept off the core of load and far end.

    Args:
        site: Where it stands.
        link: Settings of the link that are to differ from configs/asterisk-link.yaml.
        module: What Python runs as the bridge: a module, and arguments before the bridge's own.
    """

    name = "bridge"

    def __init__(
        self,
        site: Site,
        link: Mapping[str, Any] | None = None,
        module: Sequence[str] = ("bridge",),
    ) -> None:
        self._module = tuple(module)
        self.sip_address = f"{site.gateway}:{SIP_PORT}"
        self.version = _bridge("--version").stdout.strip()
        self._config = BridgeConfig(
            peer=f"{site.far_end}:{IAX_PORT}",
            secret=site.secret,
            sip=(site.gateway, SIP_PORT),
            iax=(site.gateway, IAX_PORT),
            overrides={"links": {"codecs": ["ulaw"], **(link or {})}},
        )
        self._folder = tempfile.TemporaryDirectory(prefix="siax-bench-")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        if self._process is None:
            raise LabError("the bridge is not running")
        return self._process.pid

    @property
    def log(self) -> Path:
        """Where its standard output and error go."""
        return Path(self._folder.name) / "bridge.log"

    def __enter__(self) -> Self:
        config, _sip = self._config.write(Path(self._folder.name))
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *self._module, "run", str(config), "--log-format", "json"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                start_new_session=True,
            )
        keep_off_the_loads_core(self._process.pid)
        try:
            _await_sip(self.sip_address, lambda: self._is_running)
        except LabError as error:
            told = self._log_end()
            self.__exit__(None, None, None)
            raise LabError(f"the bridge did not start: {error}\n{told}") from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()

    def finish(self) -> Mapping[str, int]:
        if self._process is None or self._process.poll() is not None:
            raise LabError(f"the bridge has ended:\n{self._log_end()}")
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(_STOP_S)
        for line in reversed(self.log.read_text().splitlines()):
            entry = json.loads(line) if line.startswith("{") else {}
            if entry.get("event") == "stopped":
                return {key: value for key, value in entry.items() if key.endswith("_left")}
        raise LabError(f"the bridge did not say what was left:\n{self._log_end()}")

    def _log_end(self) -> str:
        return self.log.read_text(errors="replace")[-_LOG_END_CHARACTERS:]

    @property
    def _is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None


GATEWAYS: Final[dict[str, Callable[[Site], Gateway]]] = {
    BridgeGateway.name: BridgeGateway,
    AsteriskGateway.name: AsteriskGateway,
}


def _bridge(*arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "bridge", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    if done.returncode != 0:
        raise LabError(f"python -m bridge {' '.join(arguments)} failed:\n{done.stderr}")
    return done


def _await_sip(address: str, is_running: Callable[[], bool]) -> None:
    """Waits until something at that address answers an OPTIONS, whatever it says."""
    host, port = address.split(":")
    deadline = time.monotonic() + _START_S
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
        phone.bind(("127.0.0.1", 0))
        phone.settimeout(0.1)
        own = f"127.0.0.1:{phone.getsockname()[1]}"
        question = (
            f"OPTIONS sip:{address} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {own};rport;branch=z9hG4bK-ready\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:bench@{own}>;tag=ready\r\nTo: <sip:{address}>\r\n"
            "Call-ID: ready\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
        ).encode()
        while time.monotonic() < deadline and is_running():
            try:
                phone.sendto(question, (host, int(port)))
                phone.recv(4096)
            except (TimeoutError, ConnectionRefusedError):
                continue
            return
    raise LabError(f"no SIP answer from {address}")
