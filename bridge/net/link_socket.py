"""The IAX2 socket: drives the sans-I/O endpoint, and gives voice to the relay first.

Owns the UDP socket, its batches and the drain after every input. Must not know SIP, configuration
or what an event means.
"""

import errno
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import chain, groupby
from struct import Struct
from typing import Final

import structlog
import trio

from bridge.errors import BridgeError
from bridge.iax2 import Address, Endpoint, Event, PeerEvent
from bridge.media.compiled import LinkReader
from bridge.net.alarm import Alarm
from bridge.net.sources import Sources

DATAGRAMS_PER_PASS_MAX: Final = 512
"""Calls that come bring some 15 for each SIP message, of which PJSIP handles 32 at a time: with a
smaller share the receive buffer fills up behind them, with a larger one it is they who wait."""
LATE_S: Final = 0.05
"""Behind its time by more, the engine's timers look at what has arrived first."""
CATCH_UP_S: Final = 0.05
"""For no longer: a flood may not hold up audio, which makes up for 0.1 s and no more."""
ASK_AGAIN_S: Final = 1.0
"""Behind an error about the engine's time."""
SOCKET_BUFFER_OCTETS: Final = 4 << 20
"""Voice of 1,000 calls for 0.2 s: the kernel counts some 800 octets for a mini frame."""

_FAILED: Final = "the IAX2 engine failed"
_FULL_FRAME: Final = b"\x80"
"""What its first octet is at least; voice of the relay has less (RFC 5456 section 8.1)."""
_UDP_SEGMENT: Final = 103
_UDP_GRO: Final = 104
_BUFFERS: Final = (
    (socket.SO_RCVBUF, 33, "net.core.rmem_max"),
    (socket.SO_SNDBUF, 32, "net.core.wmem_max"),
)
"""An option, the one that passes the kernel's limit where we may (socket(7)), and the limit."""
_MEMORY_USED: Final = 55
"""SO_MEMINFO: how much of the receive buffer is taken, and its size."""
_MEMORY: Final = Struct("=II")
_SEGMENTS_MAX: Final = 64
_DATAGRAM_MAX_OCTETS: Final = 65_535
_SEGMENT_SIZE_OCTETS: Final = 2
_GRO_SIZE_OCTETS: Final = 4
_ANCILLARY_OCTETS: Final = socket.CMSG_SPACE(_GRO_SIZE_OCTETS)
_NO_SEGMENTATION: Final = frozenset({errno.EIO, errno.EINVAL, errno.ENOPROTOOPT, errno.EOPNOTSUPP})
"""What a path without checksum offload says, as IPsec is one, or a kernel before 4.18."""

_log = structlog.get_logger(__name__)


class LinkSocketError(BridgeError):
    """The IAX2 socket cannot be opened."""


class LinkSocket:
    """One UDP socket for all links.

    Args:
        bind: Local address and port.
        endpoint: The engine.
        receive_voice: Takes a mini frame, or tells that it is none of an established call.
        handle_event: Takes what the engine tells of calls.
        handle_peer_event: Takes what it tells of peers; needed where it keeps something up.
        clock: Returns now in seconds.

    Attributes:
        dropped: Datagrams that the kernel had no room for.
    """

    def __init__(
        self,
        bind: Address,
        endpoint: Endpoint,
        receive_voice: Callable[[bytes, Address, float], bool],
        handle_event: Callable[[Event, float], None],
        handle_peer_event: Callable[[PeerEvent, float], None] = lambda _event, _now: None,
        *,
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        self.dropped = 0
        self._endpoint = endpoint
        self._receive_voice = receive_voice
        self._handle_event = handle_event
        self._handle_peer_event = handle_peer_event
        self._clock = clock
        self._socket = _open(bind)
        self._alarm = Alarm()
        self._draining = False
        self._joins = True
        self._read: LinkReader | None = None

    @property
    def address(self) -> Address:
        """Where the socket is bound."""
        bound: Address = self._socket.getsockname()
        return bound

    def backlog(self) -> float:
        """Return how full the receive buffer is, from 0 to 1; 0 where the kernel does not tell."""
        try:
            told = self._socket.getsockopt(socket.SOL_SOCKET, _MEMORY_USED, _MEMORY.size)
            taken, size = _MEMORY.unpack(told)
        except OSError:
            return 0.0
        return float(taken / size)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def send_batch(self, datagrams: Sequence[bytes], address: Address) -> None:
        """Send datagrams of one size to one peer, 64 in a system call.

        What finds no room is dropped and counted: voice has no second chance.
        """
        for first in range(0, len(datagrams), _SEGMENTS_MAX):
            batch = datagrams[first : first + _SEGMENTS_MAX]
            if self._joins and len(batch) > 1:
                self._send_joined(batch, address)
            else:
                self._send_each(batch, address)

    def drain(self) -> None:
        """Send what the engine wants sent, tell what it wants told, until nothing is left."""
        if self._draining:
            return
        self._draining = True
        try:
            self._drain()
        finally:
            self._draining = False
            self._alarm.set_later(self._next_timeout)

    def read_by(self, reader: Callable[[int], LinkReader | None]) -> None:
        """Let another reader relay voice, and hand on the rest, where there is one."""
        self._read = reader(self._socket.fileno())

    @property
    def sources(self) -> Sources:
        """What the socket and the engine's time wait for."""
        return Sources({self._socket.fileno(): self._receive}, ((self._alarm, self._on_alarm),))

    async def run(self) -> None:
        """Receive and keep the engine's time, until cancelled."""
        await self.sources.run()

    def _next_timeout(self) -> float | None:
        """Ask the engine; where it cannot tell, its calls are not left without a clock."""
        try:
            return self._endpoint.next_timeout()
        except Exception:  # noqa: BLE001 - as in _contain
            _log.exception(_FAILED)
            return self._clock() + ASK_AGAIN_S

    def _on_alarm(self, now: float) -> None:
        due = self._next_timeout()
        if due is not None and now - due > LATE_S:
            # After a stall the acknowledgements wait in the socket: to send all of it again
            # unseen would make an overload the peer's, too.
            self._catch_up(now)
        _contain(self._endpoint.handle_timeout, now)
        _contain(self.drain)

    def _catch_up(self, now: float) -> None:
        until = self._clock() + CATCH_UP_S
        self._receive(now)
        while self.backlog() and self._clock() < until:
            self._receive(now)

    def _drain(self) -> None:
        endpoint = self._endpoint
        while True:
            self._transmit()
            if (event := endpoint.poll_event()) is not None:
                _contain(self._handle_event, event, self._clock())
            elif (peer_event := endpoint.peers.poll_event()) is not None:
                _contain(self._handle_peer_event, peer_event, self._clock())
            else:
                return

    def _transmit(self) -> None:
        """Send what the engine has queued; signals of many calls are of one size, and leave so."""
        poll = self._endpoint.poll_transmit
        if (first := poll()) is None:
            return
        if (second := poll()) is None:
            self._send_each((first.data,), first.address)
            return
        queued = chain((first, second), iter(poll, None))
        for (address, _), alike in groupby(queued, lambda sent: (sent.address, len(sent.data))):
            self.send_batch([transmit.data for transmit in alike], address)

    def _send_each(self, datagrams: Sequence[bytes], address: Address) -> None:
        for datagram in datagrams:
            try:
                self._socket.sendto(datagram, address)
            except OSError:
                self.dropped += 1

    def _send_joined(self, batch: Sequence[bytes], address: Address) -> None:
        segment = len(batch[0]).to_bytes(_SEGMENT_SIZE_OCTETS, sys.byteorder)
        try:
            self._socket.sendmsg(batch, [(socket.IPPROTO_UDP, _UDP_SEGMENT, segment)], 0, address)
        except OSError as error:
            if error.errno not in _NO_SEGMENTATION:
                self.dropped += len(batch)
                return
            _log.warning("datagrams are sent one by one from now on", why=error.strerror)
            self._joins = False
            self._send_each(batch, address)

    def _receive(self, now: float) -> None:
        """Take what has arrived, bounded, so that phones get their turn."""
        if self._read is not None:
            left = DATAGRAMS_PER_PASS_MAX
            while (unusual := self._read(now, left)) is not False:
                if unusual is True:
                    # What only acknowledges tells nothing, but puts off what was to be sent again.
                    self._alarm.set_later(self._next_timeout)
                    break
                datagram, address, left = unusual
                self._take(datagram, address, now)
            return
        for _ in range(DATAGRAMS_PER_PASS_MAX):
            try:
                data, ancillary, _, address = self._socket.recvmsg(
                    _DATAGRAM_MAX_OCTETS, _ANCILLARY_OCTETS
                )
            except BlockingIOError:
                break
            except OSError:
                continue  # an ICMP error of an earlier datagram
            segment = _segment_octets(ancillary) or len(data) or 1
            for start in range(0, len(data) or 1, segment):
                self._take(data[start : start + segment], address, now)

    def _take(self, datagram: bytes, address: Address, now: float) -> None:
        """Take one datagram; what it told is acted on before the next one is looked at."""
        if datagram[:1] >= _FULL_FRAME or not self._receive_voice(datagram, address, now):
            _contain(self._endpoint.receive_datagram, datagram, address, now)
            if self._endpoint.has_news:
                _contain(self.drain)
            else:
                self._alarm.set_later(self._next_timeout)


def _contain(act: Callable[..., object], *arguments: object) -> None:
    """Let an error of ours cost a datagram, an event or an answer, never the service."""
    try:
        act(*arguments)
    except Exception:  # noqa: BLE001 - whatever it was, all other calls go on
        _log.exception(_FAILED)


def _segment_octets(ancillary: Sequence[tuple[int, int, bytes]]) -> int:
    """Return the size of the datagrams that the kernel joined; 0 where there was but one."""
    for level, kind, data in ancillary:
        if level == socket.IPPROTO_UDP and kind == _UDP_GRO:
            return int.from_bytes(data[:_GRO_SIZE_OCTETS], sys.byteorder)
    return 0


def _open(bind: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in bind[0] else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_DGRAM)
    opened.setblocking(False)  # noqa: FBT003 - the socket module's own
    for option, forced, limit in _BUFFERS:
        _enlarge(opened, option, forced, limit)
    with suppress(OSError):
        # Kernels before 5.0 lack it and deliver each datagram alone.
        opened.setsockopt(socket.IPPROTO_UDP, _UDP_GRO, 1)
    try:
        opened.bind(bind)
    except OSError as error:
        opened.close()
        raise LinkSocketError(
            f"cannot bind the IAX2 socket to {bind[0]} port {bind[1]}: {error.strerror}"
        ) from None
    return opened


def _enlarge(opened: socket.socket, option: int, forced: int, limit: str) -> None:
    try:
        opened.setsockopt(socket.SOL_SOCKET, forced, SOCKET_BUFFER_OCTETS)
    except PermissionError:
        opened.setsockopt(socket.SOL_SOCKET, option, SOCKET_BUFFER_OCTETS)
    given = opened.getsockopt(socket.SOL_SOCKET, option) // 2  # half is for the kernel's own
    if given < SOCKET_BUFFER_OCTETS:
        _log.warning(
            "a small buffer for the IAX2 socket: many calls at once may lose audio",
            octets=given,
            to_do=f"sysctl -w {limit}={SOCKET_BUFFER_OCTETS}",
        )
