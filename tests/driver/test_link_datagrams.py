"""The IAX2 socket's datagrams: joined and single ones, its buffers, and where it opens."""

import errno
import socket

import pytest
import structlog.testing
import trio

from bridge.iax2 import Address
from bridge.net.link_socket import LinkSocket, LinkSocketError
from tests.driver.link_sides import WITHIN_S, Side, answered, pair, plain_socket, running

UDP_SEGMENT = 103


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
