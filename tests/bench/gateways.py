"""The gateways under test: the bridge and Asterisk, each between the load and the far end.

Every gateway listens for SIP on an address of its own and calls the same far end with the same
secret. A gateway is a context manager; while it is open its process can be measured.
"""

import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self

from tests.lab import LabError
from tests.lab.asterisk import AsteriskPeer
from tests.lab.asterisk_config import EXTENSION, USERNAME, SipSide, sip_gateway
from tests.lab.asterisk_fetch import SUITES, fetch_asterisk

FAR_END_HOST: Final = "127.0.0.21"
IAX_PORT: Final = 4569
SIP_PORT: Final = 5060
SECRET: Final = "bench-secret-aF3kQ9xW2mZ7tR5yB8nL"
_RTP_PORTS: Final = (20000, 29999)
_START_S: Final = 20.0
_STOP_S: Final = 10.0


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


class AsteriskGateway:
    """Asterisk 22: chan_pjsip in, chan_iax2 encrypted out, mu-law on both sides."""

    name = "asterisk"

    def __init__(self) -> None:
        tree = fetch_asterisk(SUITES["22"])
        host = "127.0.0.12"
        side = SipSide(port=SIP_PORT, rtp_ports=_RTP_PORTS, codecs="ulaw")
        settings = sip_gateway(host, side, FAR_END_HOST, SECRET, for_load=True)
        self.version = tree.version
        self.sip_address = f"{host}:{SIP_PORT}"
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


@dataclass(frozen=True, slots=True)
class Dialing:
    """The envelope that the bridge dials with; the defaults are those of the product."""

    slots: int = 26
    slot_ms: int = 60
    start_ms: tuple[int, int] = (200, 600)

    def yaml(self) -> str:
        """As the configuration has it."""
        low, high = self.start_ms
        return f"{{slots: {self.slots}, slot_ms: {self.slot_ms}, start_ms: [{low}, {high}]}}"


class BridgeGateway:
    """The bridge as users start it: `python -m bridge run CONFIG`."""

    name = "bridge"

    def __init__(self, dialing: Dialing | None = None) -> None:
        self._host = "127.0.0.13"
        self.sip_address = f"{self._host}:{SIP_PORT}"
        self.version = _bridge("--version").stdout.strip()
        self._dialing = dialing or Dialing()
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
        config = self._write_configuration()
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "bridge", "run", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            _await_sip(self.sip_address, lambda: self._is_running)
        except LabError as error:
            self.__exit__(None, None, None)
            raise LabError(f"the bridge did not start: {error}") from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self._process is not None:
            _stop(self._process)
        self._folder.cleanup()

    @property
    def _is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _write_configuration(self) -> Path:
        folder = Path(self._folder.name)
        secret = folder / "secret"
        secret.write_text(SECRET)
        secret.chmod(0o600)
        config = folder / "bench.yaml"
        low, high = _RTP_PORTS
        config.write_text(f"""site: bench
sip:
  listen: ["udp://{self.sip_address}"]
  rtp_ports: {low}-{high}
  allow: ["127.0.0.0/8"]
iax:
  bind: "{self._host}:{IAX_PORT}"
links:
  far:
    peer: {FAR_END_HOST}:{IAX_PORT}
    username: {USERNAME}
    secret: {{file: secret}}
    extension: {EXTENSION}
    codecs: [ulaw]
    dialing: {self._dialing.yaml()}
dialplan:
  - {{match: '^9(\\d+)$', link: far, dial: '{{1}}'}}
""")
        return config


GATEWAYS: Final[dict[str, Callable[[], Gateway]]] = {
    BridgeGateway.name: BridgeGateway,
    AsteriskGateway.name: AsteriskGateway,
}


def _bridge(*arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "bridge", *arguments], capture_output=True, text=True, check=False
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


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
