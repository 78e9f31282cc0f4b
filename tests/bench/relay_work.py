"""The relay with calls of 50 packets/s each way, on real sockets, for whatever counts its work.

python -m tests.bench.relay_work compiled|Python CALLS SLOTS

Around the work of relaying, and nothing else, it sends itself SIGUSR1 and SIGUSR2 (count.c); then
it prints how many packets it relayed in them.
"""

import os
import random
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final

from bridge.iax2 import Address, Endpoint
from bridge.iax2.cipher import Opener, Sealer
from bridge.iax2.constants import Format
from bridge.iax2.voice import VoicePath
from bridge.media.call_media import CallMedia
from bridge.media.compiled import Compiled, FastPath, PythonAlone, fast_path
from bridge.media.ports import PortPool
from bridge.media.relay import Relay
from bridge.media.remote import RemoteMedia
from bridge.media.rtp import RTP_HEADER
from bridge.net.link_socket import LinkSocket
from tests.lab import LabError
from tests.lab.relay_calls import voice_path

FRAME_S: Final = 0.020
_BEGAN_AT: Final = 100.0
_WARM_UP_SLOTS: Final = 3
_PORTS: Final = (32000, 39999)
_HOST: Final = "127.0.0.1"

Counting = Callable[[], AbstractContextManager[object]]
"""Opens a span that is counted."""


class RelayWork:
    """Calls that are up, in virtual time.

    Args:
        fast: The relay's fast path.
        calls: How many.
    """

    def __init__(self, fast: FastPath, calls: int) -> None:
        self.relayed = 0
        self._failures: list[Exception] = []
        self._slot = 0
        ports = PortPool(*_PORTS, random.SystemRandom())
        link = LinkSocket((_HOST, 0), Endpoint(), self._receive_voice, lambda _event, _now: None)
        self._link = link
        self._relay = Relay(
            link.send_batch, ports, lambda _, error: self._failures.append(error), fast
        )
        link.read_by(self._relay.link_reader)
        (self._receive_link,) = link.sources.readable.values()
        self._far = _bound()
        self._talks = [self._connect(number) for number in range(1, calls + 1)]

    def _receive_voice(self, datagram: bytes, address: Address, now: float) -> bool:
        return self._relay.receive_link(datagram, address, now)

    def _connect(self, number: int) -> tuple[CallMedia, socket.socket, VoicePath]:
        phone = _bound()
        host, port = phone.getsockname()
        media = self._relay.open(host)
        media.set_remote(RemoteMedia(host, port, host, 0, Format.ULAW, telephone_event=101))
        peer, key, other_key = self._far.getsockname(), os.urandom(16), os.urandom(16)
        ours, theirs = (Sealer(key), Opener(other_key)), (Sealer(other_key), Opener(key))
        path = voice_path(Format.ULAW, number, peer, ours, _BEGAN_AT)
        voice = voice_path(Format.ULAW, number, peer, theirs, _BEGAN_AT)
        media.connect(path, lambda _, timestamp_ms: path.start_period(timestamp_ms), _BEGAN_AT)
        return media, phone, voice

    def run(self, slots: int, counting: Counting) -> None:
        """Let everybody speak and relay it, that many times 20 ms.

        Raises:
            LabError: Some packet did not come out on the other side.
        """
        for _ in range(slots):
            self._slot += 1
            self._speak()
            with counting():
                now = _BEGAN_AT + self._slot * FRAME_S
                self._receive_link(now)
                self._relay.tick(now)
            self.relayed += self._came_out()
        if self._failures:
            raise LabError(f"the relay failed: {self._failures[0]!r}")

    def _speak(self) -> None:
        speech = bytes([self._slot % 100]) * 160
        header = RTP_HEADER.pack(0x80, 0, self._slot, self._slot * 160, 7)
        for media, phone, voice in self._talks:
            phone.sendto(header + speech, (_HOST, media.rtp_port))
            timestamp_ms = self._slot * 20
            voice.start_period(timestamp_ms)
            self._far.sendto(voice.seal(speech, timestamp_ms) or b"", self._link.address)

    def _came_out(self) -> int:
        at_phones = sum(len(list(_waiting(phone))) for _, phone, _ in self._talks)
        return at_phones + len(list(_waiting(self._far)))

    def close(self) -> None:
        """Give everything back."""
        self._relay.close()
        self._link.close()
        for opened in (self._far, *(phone for _, phone, _ in self._talks)):
            opened.close()


@contextmanager
def relaying(path: str, calls: int) -> Iterator[RelayWork]:
    """Calls that are warm: latched, in step, and with their first frames through.

    Args:
        path: "compiled" or "Python".
        calls: How many.

    Raises:
        LabError: That path is not installed.
    """
    fast = fast_path() if path == Compiled.name else PythonAlone()
    if fast.name != path:
        raise LabError(f"the {path} relay is not installed: make setup")
    work = RelayWork(fast, calls)
    try:
        work.run(_WARM_UP_SLOTS, counting=_uncounted)
        work.relayed = 0
        yield work
    finally:
        work.close()


@contextmanager
def _uncounted() -> Iterator[None]:
    yield


@contextmanager
def _between_signals() -> Iterator[None]:
    os.kill(os.getpid(), signal.SIGUSR1)
    yield
    os.kill(os.getpid(), signal.SIGUSR2)


def _bound() -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.bind((_HOST, 0))
    opened.setblocking(False)  # noqa: FBT003 - the socket module's own
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    return opened


def _waiting(opened: socket.socket) -> Iterator[bytes]:
    while True:
        try:
            yield opened.recv(2048)
        except BlockingIOError:
            return


def main() -> None:
    """Relays, and prints how much it was."""
    path, calls, slots = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    with relaying(path, calls) as work:
        work.run(slots, _between_signals)
        print(work.relayed, flush=True)


if __name__ == "__main__":
    main()
