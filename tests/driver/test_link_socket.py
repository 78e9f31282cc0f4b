"""The IAX2 socket on real loopback: batches, joined datagrams, errors of the network, the drain."""

import errno
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

import pytest
import structlog.testing
import trio

from bridge.iax2 import (
    Address,
    Call,
    CallAnswered,
    CalleeCall,
    CallEnded,
    CallProfile,
    ChallengeMemory,
    Endpoint,
    Event,
    Format,
    IncomingCall,
    PeerEvent,
    Reachability,
    ReachabilityChanged,
    User,
)
from bridge.net.link_socket import DATAGRAMS_PER_PASS_MAX, LinkSocket, LinkSocketError

LOOPBACK = ("127.0.0.1", 0)
UDP_SEGMENT = 103
SECRET = b"a secret of the socket tests"
WITHIN_S = 3.0


class Voice:
    """Stands for the relay: takes what does not look like a full frame."""

    def __init__(self) -> None:
        self.datagrams: list[bytes] = []
        self.addresses: set[Address] = set()
        self.news = trio.Event()

    def __call__(self, datagram: bytes, address: Address, _now: float) -> bool:
        if datagram[:1] >= b"\x80":
            return False
        self.datagrams.append(datagram)
        self.addresses.add(address)
        self.news.set()
        return True

    async def came(self, count: int) -> None:
        with trio.fail_after(WITHIN_S):
            while len(self.datagrams) < count:
                self.news = trio.Event()
                await self.news.wait()


class Events:
    """Takes down what the engine tells; `act` may react to it."""

    def __init__(self) -> None:
        self.told: list[Event] = []
        self.act: Callable[[Event, float], None] = lambda _event, _now: None
        self.news = trio.Event()

    def __call__(self, event: Event, now: float) -> None:
        self.told.append(event)
        self.act(event, now)
        self.news.set()

    async def came(self, kind: type[Event]) -> None:
        with trio.fail_after(WITHIN_S):
            while not any(isinstance(event, kind) for event in self.told):
                self.news = trio.Event()
                await self.news.wait()


class Side:
    """A socket with an engine behind it."""

    def __init__(self, users: tuple[User, ...] = (), bind: Address = LOOPBACK) -> None:
        self.endpoint = Endpoint(users)
        self.voice = Voice()
        self.events = Events()
        self.link = LinkSocket(bind, self.endpoint, self.voice, self.events)


@asynccontextmanager
async def running(*sides: Side) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        for side in sides:
            nursery.start_soon(side.link.run)
        yield
        nursery.cancel_scope.cancel()
    for side in sides:
        side.link.close()


@contextmanager
def plain_socket(host: str = "127.0.0.1") -> Iterator[socket.socket]:
    """A socket that gets each datagram alone."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
        plain.bind((host, 0))
        plain.settimeout(WITHIN_S)
        yield plain


def send_joined(plain: socket.socket, data: bytes, segment: int, to: Address) -> None:
    """Let the kernel carry several datagrams in one piece."""
    size = [(socket.IPPROTO_UDP, UDP_SEGMENT, segment.to_bytes(2, "little"))]
    plain.sendmsg([data], size, 0, to)


def frames(count: int, octets: int = 194) -> list[bytes]:
    return [bytes([0, number]) * (octets // 2) for number in range(count)]


class Refusing:
    """A socket whose system calls fail."""

    def __init__(self, real: socket.socket, error: int, refused: tuple[str, ...]) -> None:
        self._real, self._error, self._refused = real, error, refused
        self.attempts = 0

    def __getattr__(self, name: str) -> object:
        if name not in self._refused:
            return getattr(self._real, name)
        return self._refuse

    def _refuse(self, *_arguments: object) -> int:
        self.attempts += 1
        raise OSError(self._error, "refused")


def refuse(monkeypatch: pytest.MonkeyPatch, link: LinkSocket, error: int, *calls: str) -> Refusing:
    refusing = Refusing(link._socket, error, calls)
    monkeypatch.setattr(link, "_socket", refusing)
    return refusing


def waiting(link: LinkSocket) -> bytes | None:
    """Take what has arrived at a socket past its engine, if anything has."""
    with suppress(BlockingIOError):
        return link._socket.recv(2048)
    return None


class TestBatches:
    @pytest.mark.parametrize("count", [1, 2, 20, 63, 64, 65, 150])
    async def test_batch_arrives_as_single_datagrams(self, count: int) -> None:
        side = Side()
        with plain_socket() as plain:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            side.link.send_batch(frames(count), plain.getsockname())
            assert [plain.recv(2048) for _ in range(count)] == frames(count)
        assert side.link.dropped == 0
        side.link.close()

    async def test_empty_batch_is_nothing(self) -> None:
        side = Side()
        side.link.send_batch([], ("127.0.0.1", 9))
        side.link.close()

    async def test_batch_arrives_at_another_bridge(self) -> None:
        near, far = Side(), Side()
        source = near.link.address
        async with running(near, far):
            near.link.send_batch(frames(100), far.link.address)
            await far.voice.came(100)
        assert far.voice.datagrams == frames(100)
        assert far.voice.addresses == {source}

    async def test_path_without_segmentation_is_sent_to_one_by_one(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        side = Side()
        refusing = refuse(monkeypatch, side.link, errno.EIO, "sendmsg")
        with plain_socket() as plain:
            for _ in range(3):
                side.link.send_batch(frames(10), plain.getsockname())
                assert [plain.recv(2048) for _ in range(10)] == frames(10)
        assert side.link.dropped == 0
        assert refusing.attempts == 1
        side.link.close()

    @pytest.mark.parametrize("error", [errno.EAGAIN, errno.ENOBUFS, errno.ENETUNREACH])
    async def test_what_finds_no_room_is_dropped_and_counted(
        self, monkeypatch: pytest.MonkeyPatch, error: int
    ) -> None:
        side = Side()
        refusing = refuse(monkeypatch, side.link, error, "sendmsg", "sendto")
        side.link.send_batch(frames(10), ("127.0.0.1", 9))
        side.link.send_batch(frames(1), ("127.0.0.1", 9))
        assert side.link.dropped == 11
        assert refusing.attempts == 2
        side.link.close()

    async def test_batch_to_nowhere_does_not_raise(self) -> None:
        side = Side()
        side.link.send_batch(frames(3), ("255.255.255.255", 9))
        assert side.link.dropped == 3
        side.link.close()


class TestReceiving:
    @pytest.mark.parametrize(
        ("octets", "segment"), [(400, 100), (250, 100), (100, 100), (101, 100), (6400, 100)]
    )
    async def test_joined_datagrams_are_split_again(self, octets: int, segment: int) -> None:
        data = bytes(number // segment for number in range(octets))
        expected = [data[at : at + segment] for at in range(0, octets, segment)]
        side = Side()
        async with running(side):
            with plain_socket() as plain:
                send_joined(plain, data, segment, side.link.address)
                await side.voice.came(len(expected))
        assert side.voice.datagrams == expected

    async def test_datagrams_of_every_size_arrive(self) -> None:
        sizes = [0, 1, 11, 12, 300, 1500, 9000, 65_507]
        side = Side()
        async with running(side):
            with plain_socket() as plain:
                for number, size in enumerate(sizes):
                    plain.sendto(bytes(size), side.link.address)
                    await side.voice.came(number + 1)
        assert [len(datagram) for datagram in side.voice.datagrams] == sizes

    async def test_more_than_one_pass_takes_is_taken_in_the_next(self) -> None:
        side = Side()
        async with running(side):
            with plain_socket() as plain:
                for number in range(600):
                    plain.sendto(number.to_bytes(4, "big"), side.link.address)
                await side.voice.came(600)
        assert len(set(side.voice.datagrams)) == 600

    async def test_garbage_ends_nothing(self) -> None:
        near, far = pair()
        async with running(near, far):
            with plain_socket() as plain:
                for size in (1, 5, 12, 40):
                    plain.sendto(b"\xff" * size, far.link.address)
            await answered(near, far)

    async def test_icmp_errors_are_survived(self) -> None:
        near, far = pair()
        with plain_socket() as plain:
            closed = plain.getsockname()
        async with running(near, far):
            for _ in range(5):
                near.link.send_batch(frames(2), closed)
                near.link.send_batch(frames(1), closed)
                await trio.lowlevel.checkpoint()
            await answered(near, far)

    async def test_receive_errors_are_survived(self, monkeypatch: pytest.MonkeyPatch) -> None:
        side = Side()
        real = side.link._socket
        refuse(monkeypatch, side.link, errno.ECONNREFUSED, "recvmsg")
        side.link._receive(trio.current_time())
        monkeypatch.setattr(side.link, "_socket", real)
        async with running(side):
            with plain_socket() as plain:
                plain.sendto(b"\x00\x01", side.link.address)
                await side.voice.came(1)


class TestEngine:
    async def test_call_is_set_up_and_ended(self) -> None:
        near, far = pair()
        async with running(near, far):
            call = await answered(near, far)
            call.hang_up(trio.current_time())
            near.link.drain()
            with trio.fail_after(WITHIN_S):
                while near.endpoint.live_calls or far.endpoint.live_calls:  # noqa: ASYNC110
                    await trio.sleep(0.005)

    async def test_engine_is_told_the_time(self) -> None:
        """A lost NEW is sent again by the alarm alone."""
        near, far = pair()
        async with running(near):
            with plain_socket() as silent:
                place(near, silent.getsockname())
                first = silent.recv(2048)
                silent.settimeout(0)
                with trio.fail_after(WITHIN_S):
                    await trio.lowlevel.wait_readable(silent)
                again = silent.recv(2048)
        assert first[2] & 0x80 == 0
        assert again[2] & 0x80
        far.link.close()

    @pytest.mark.parametrize(
        ("late_s", "ahead", "again"),
        [(0.0, 0, True), (1.0, 0, False), (1.0, 2 * DATAGRAMS_PER_PASS_MAX, False)],
    )
    async def test_after_a_stall_what_has_arrived_comes_before_what_is_sent_again(
        self, late_s: float, ahead: int, *, again: bool
    ) -> None:
        """However much it is."""
        near, far = pair()
        place(near, far.link.address)
        with plain_socket() as other:
            for _ in range(ahead):
                other.sendto(bytes(12), near.link.address)
        far.link._receive(trio.current_time())  # which answers the NEW
        due = near.endpoint.next_timeout()
        assert due is not None
        near.link._on_alarm(due + late_s)
        sent: list[bytes] = []
        while (datagram := waiting(far.link)) is not None:
            sent.append(datagram)
        assert [bool(datagram[2] & 0x80) for datagram in sent] == [again]
        near.link.close()
        far.link.close()

    async def test_drain_within_an_event_is_left_to_the_one_that_runs(self) -> None:
        """What an event makes us send leaves; no event is told within another."""
        near, far = pair()
        depth: list[int] = []
        deepest: list[int] = []

        def act(event: Event, now: float) -> None:
            depth.append(1)
            deepest.append(len(depth))
            if isinstance(event, CallAnswered):
                event.call.send_digit("5", now)
                near.link.drain()
                event.call.hang_up(now)
                near.link.drain()
            depth.pop()

        near.events.act = act
        async with running(near, far):
            place(near, far.link.address)
            with trio.fail_after(WITHIN_S):
                while not near.events.told or near.endpoint.live_calls:  # noqa: ASYNC110
                    await trio.sleep(0.005)
        assert set(deepest) == {1}

    async def test_events_are_told_before_the_next_datagram_is_taken(self) -> None:
        """Else voice behind an ANSWER, or a HANGUP, would overtake what the ANSWER sets up."""
        near, far = pair()
        live: list[bool] = []
        near.events.act = lambda event, _now: (
            live.append(bool(near.endpoint.live_calls)) if isinstance(event, CallAnswered) else None
        )

        def answer_and_hang_up(event: Event, now: float) -> None:
            if isinstance(event, IncomingCall) and isinstance(event.call, CalleeCall):
                event.call.accept(Format.ULAW, now)
                event.call.answer(now)
                event.call.hang_up(now)

        far.events.act = answer_and_hang_up
        async with running(near, far):
            place(near, far.link.address)
            await near.events.came(CallAnswered)
        assert live == [True]

    async def test_error_in_an_event_takes_no_other_event_with_it(self) -> None:
        near, far = pair()

        def broken(_event: Event, _now: float) -> None:
            raise ZeroDivisionError

        near.events.act = broken
        for call in (place(near, far.link.address), place(near, far.link.address)):
            call.hang_up(trio.current_time())
        with structlog.testing.capture_logs() as logs:
            near.link.drain()
        assert [type(event) for event in near.events.told] == [CallEnded, CallEnded]
        assert [entry["log_level"] for entry in logs] == ["error", "error"]
        near.link.close()
        far.link.close()

    @pytest.mark.parametrize("method", ["receive_datagram", "handle_timeout"])
    async def test_error_of_the_engine_does_not_end_the_service(
        self, monkeypatch: pytest.MonkeyPatch, method: str
    ) -> None:
        near, far = pair()
        real = getattr(near.endpoint, method)
        broke: list[int] = []

        def broken(*arguments: object) -> None:
            if not broke:
                broke.append(1)
                raise ZeroDivisionError
            real(*arguments)

        monkeypatch.setattr(near.endpoint, method, broken)
        with structlog.testing.capture_logs() as logs:
            async with running(near, far):
                await answered(near, far)
                near.link._alarm.set(0)
                with trio.fail_after(WITHIN_S):
                    while not broke:  # noqa: ASYNC110
                        await trio.sleep(0.005)
        assert [entry["log_level"] for entry in logs] == ["error"]


class TestPeers:
    @pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
    async def test_what_is_told_of_a_peer_is_handed_on(self, host: str) -> None:
        near, far = Side(bind=(host, 0)), Side(bind=(host, 0))
        told: list[PeerEvent] = []
        news = trio.Event()

        def take(event: PeerEvent, _now: float) -> None:
            told.append(event)
            news.set()

        near.link.close()
        near.link = LinkSocket((host, 0), near.endpoint, near.voice, near.events, take)
        async with running(near, far):
            now = trio.current_time()
            near.endpoint.peers.qualify("hq", now).move_to(far.link.address, now)
            near.link.drain()
            with trio.fail_after(WITHIN_S):
                await news.wait()
        (event,) = told
        assert isinstance(event, ReachabilityChanged)
        assert event.qualification.reachability is Reachability.REACHABLE
        assert not near.events.told

    async def test_who_does_not_ask_is_not_told(self) -> None:
        near, far = Side(), Side()
        async with running(near, far):
            now = trio.current_time()
            qualifier = near.endpoint.peers.qualify("hq", now)
            qualifier.move_to(far.link.address, now)
            near.link.drain()
            with trio.fail_after(WITHIN_S):
                while not qualifier.seen.pongs:  # noqa: ASYNC110
                    await trio.sleep(0.005)
        assert near.endpoint.peers.poll_event() is None


class TestOpening:
    def test_address_that_is_taken_is_told_clearly(self) -> None:
        with plain_socket() as plain:
            host, port = plain.getsockname()
            with pytest.raises(LinkSocketError, match=f"to {host} port {port}: .*in use"):
                Side(bind=(host, port))

    def test_address_that_is_not_ours_is_told_clearly(self) -> None:
        with pytest.raises(LinkSocketError, match=r"to 192\.0\.2\.1 port 4569: .*assign"):
            Side(bind=("192.0.2.1", 4569))

    def test_ipv6(self) -> None:
        side = Side(bind=("::1", 0))
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as plain:
            plain.bind(("::1", 0))
            plain.settimeout(WITHIN_S)
            side.link.send_batch(frames(3), plain.getsockname())
            assert [plain.recv(2048) for _ in range(3)] == frames(3)
        side.link.close()


def pair() -> tuple[Side, Side]:
    """Return a side that calls and one that answers all calls."""
    near, far = Side(), Side((User("site", (SECRET,)),))

    def answer(event: Event, now: float) -> None:
        if isinstance(event, IncomingCall) and isinstance(event.call, CalleeCall):
            event.call.accept(Format.ULAW, now)
            event.call.answer(now)

    far.events.act = answer
    return near, far


def place(near: Side, address: Address) -> Call:
    profile = CallProfile("site", SECRET, "enc", (Format.ULAW,), ChallengeMemory(bytes))
    call = near.endpoint.place_call(profile, address, trio.current_time())
    near.link.drain()
    return call


async def answered(near: Side, far: Side) -> Call:
    call = place(near, far.link.address)
    await near.events.came(CallAnswered)
    return call


class LimitedSocket(socket.socket):
    """A socket of a user that has no privileges, under the limits that a kernel begins with."""

    def setsockopt(self, level: int, option: int, value: int) -> None:  # type: ignore[override]
        if level == socket.SOL_SOCKET and option in (32, 33):
            raise PermissionError(errno.EPERM, "refused")
        super().setsockopt(level, option, min(value, 212_992))


class TestBuffers:
    def test_a_backlog_shows_until_the_end(self) -> None:
        side = Side()
        with plain_socket() as plain:
            assert side.link.backlog() == 0
            for _ in range(100):
                plain.sendto(bytes(100), side.link.address)
            assert 0 < side.link.backlog() < 0.1
        side.link.close()
        assert side.link.backlog() == 0

    @pytest.mark.parametrize("kind", [socket.socket, LimitedSocket])
    def test_a_low_limit_of_the_kernel_is_told(
        self, monkeypatch: pytest.MonkeyPatch, kind: type[socket.socket]
    ) -> None:
        monkeypatch.setattr(socket, "socket", kind)
        with structlog.testing.capture_logs() as logs:
            Side().link.close()
        advice = [entry["to_do"] for entry in logs]
        limits = ["net.core.rmem_max", "net.core.wmem_max"] if kind is LimitedSocket else []
        assert advice == [f"sysctl -w {limit}=4194304" for limit in limits]
