import socket
from collections.abc import Callable

import trio
import trio.testing

from bridge.net.sip_driver import sip_sources


class Library:
    """Reads a socket as PJSIP would, and has a timer each second."""

    def __init__(self, reader: socket.socket) -> None:
        self.on_schedule: Callable[[float], object] = lambda _deadline: None
        self.received: list[bytes] = []
        self.ticks: list[float] = []
        self._reader = reader

    def fileno(self) -> int:
        return self._reader.fileno()

    def handle_readable(self, _now: float) -> None:
        self.received.append(self._reader.recv(100))

    def handle_due(self, now: float) -> None:
        self.ticks.append(now)
        self.reschedule()

    def reschedule(self) -> None:
        self.on_schedule(trio.current_time() + 1)


async def test_packets_and_timers_are_handled_in_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    begun = autojump_clock.current_time()
    reader, writer = socket.socketpair()
    with reader, writer:
        library = Library(reader)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sip_sources(library).run)
            await trio.sleep(0.5)
            writer.send(b"a packet")
            await trio.sleep(2.0)
            nursery.cancel_scope.cancel()
    assert library.received == [b"a packet"]
    assert library.ticks == [begun + 1, begun + 2]
