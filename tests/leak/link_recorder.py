"""A process on the link that passes every datagram on and notes when it came: who, whither, size.

python -m tests.leak.link_recorder LISTEN TARGET OUTPUT [LOSS]

It serves one bridge and one far end, any user may run it, and it is all that an eavesdropper
needs. The kernel stamps the times, so that a late process does not blur them. OUTPUT is written at
SIGTERM; calls.py reads it.
"""

import selectors
import signal
import socket
import struct
import sys
from pathlib import Path
from random import Random
from typing import Final

IAX_PORT: Final = 4569
SEED: Final = 42
NOTE: Final = struct.Struct("!dBH12s")  # s | 1: from the bridge | octets | the first octets
_SO_TIMESTAMPNS: Final = 35
_TIMESPEC: Final = struct.Struct("qq")
_BUFFER_OCTETS: Final = 8 << 20


def main() -> None:
    """Runs until SIGTERM."""
    listen, target, output = sys.argv[1:4]
    loss = float(sys.argv[4]) if len(sys.argv) > 4 else 0.0
    recorder = Recorder(listen, target, loss)
    signal.signal(signal.SIGTERM, lambda _number, _frame: recorder.stop())
    print("ready", flush=True)
    recorder.run()
    Path(output).write_bytes(recorder.notes)


class Recorder:
    """Two sockets and the notes."""

    def __init__(self, listen: str, target: str, loss: float) -> None:
        self.notes = bytearray()
        self._near, self._far = _bound(listen, IAX_PORT), _bound("127.0.0.1", 0)
        self._target = (target, IAX_PORT)
        self._bridge: tuple[str, int] | None = None
        self._loss, self._random = loss, Random(SEED)
        self._running = True

    def stop(self) -> None:
        """Ends `run`."""
        self._running = False

    def run(self) -> None:
        """Passes on what comes."""
        selector = selectors.DefaultSelector()
        selector.register(self._near, selectors.EVENT_READ, self._from_bridge)
        selector.register(self._far, selectors.EVENT_READ, self._from_far_end)
        while self._running:
            for key, _ in selector.select(0.5):
                key.data()

    def _from_bridge(self) -> None:
        while (came := _receive(self._near)) is not None:
            datagram, at_s, self._bridge = came
            self._note(at_s, 1, datagram)
            if self._random.random() >= self._loss:
                self._far.sendto(datagram, self._target)

    def _from_far_end(self) -> None:
        while (came := _receive(self._far)) is not None:
            datagram, at_s, _ = came
            self._note(at_s, 0, datagram)
            if self._bridge is not None and self._random.random() >= self._loss:
                self._near.sendto(datagram, self._bridge)

    def _note(self, at_s: float, from_bridge: int, datagram: bytes) -> None:
        self.notes += NOTE.pack(at_s, from_bridge, len(datagram), datagram[:12])


def _bound(host: str, port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_OCTETS)
    bound.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    bound.bind((host, port))
    return bound


def _receive(way: socket.socket) -> tuple[bytes, float, tuple[str, int]] | None:
    try:
        datagram, notes, _, source = way.recvmsg(2048, 64)
    except BlockingIOError:
        return None
    seconds, nanoseconds = _TIMESPEC.unpack(notes[0][2])
    return datagram, seconds + nanoseconds / 1e9, source


if __name__ == "__main__":
    main()
