import errno
import random
import socket
from collections.abc import Iterator

import pytest

from bridge.media.ports import PortPair, PortPool, PortsExhaustedError

FIRST, LAST = 32100, 32107


@pytest.fixture
def pool() -> PortPool:
    return PortPool(FIRST, LAST, random.Random(1))


def open_all(pool: PortPool, host: str = "127.0.0.1") -> list[PortPair]:
    return [pool.open(host) for _ in range(pool.free_pairs)]


@pytest.fixture
def taken() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", FIRST + 3))
        yield other


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_pair_is_an_even_port_and_its_neighbour(pool: PortPool, host: str) -> None:
    pair = pool.open(host)
    assert pair.rtp.getsockname()[:2] == (host, pair.rtp_port)
    assert pair.rtcp.getsockname()[:2] == (host, pair.rtp_port + 1)
    assert pair.rtp_port % 2 == 0
    assert not pair.rtp.getblocking()
    assert not pair.rtcp.getblocking()
    pool.close(pair)


def test_each_pair_is_given_once_then_none(pool: PortPool) -> None:
    pairs = open_all(pool)
    assert sorted(pair.rtp_port for pair in pairs) == [32100, 32102, 32104, 32106]
    with pytest.raises(PortsExhaustedError, match="in use"):
        pool.open("127.0.0.1")
    for pair in pairs:
        pool.close(pair)


def test_a_pair_given_back_is_the_last_to_be_used_again(pool: PortPool) -> None:
    pair = pool.open("127.0.0.1")
    pool.close(pair)
    again = open_all(pool)
    assert again[-1].rtp_port == pair.rtp_port
    for each in again:
        pool.close(each)


def test_order_is_not_that_of_the_numbers() -> None:
    with_seed = [PortPool(20000, 29999, random.Random(seed)).open("127.0.0.1") for seed in (1, 2)]
    ports = [pair.rtp_port for pair in with_seed]
    for pair in with_seed:
        pair.rtp.close()
        pair.rtcp.close()
    assert ports[0] != ports[1]


@pytest.mark.usefixtures("taken")
def test_port_of_another_process_is_passed_over(pool: PortPool) -> None:
    pairs = [pool.open("127.0.0.1") for _ in range(3)]
    assert FIRST + 2 not in {pair.rtp_port for pair in pairs}
    with pytest.raises(PortsExhaustedError):
        pool.open("127.0.0.1")
    assert pool.free_pairs == 1
    for pair in pairs:
        pool.close(pair)


def test_address_that_is_not_ours_fails_at_once_and_loses_no_port(pool: PortPool) -> None:
    with pytest.raises(PortsExhaustedError):
        pool.open("203.0.113.1")
    assert pool.free_pairs == 4


def test_no_sockets_left_is_no_ports_left(pool: PortPool, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(socket, "socket", refuse)
    with pytest.raises(PortsExhaustedError, match="Too many open files"):
        pool.open("127.0.0.1")
    assert pool.free_pairs == 4


@pytest.mark.parametrize(
    ("first", "last", "pairs"),
    [(20000, 20001, 1), (20000, 20002, 1), (20001, 20004, 1), (20001, 20005, 2), (65534, 99999, 1)],
)
def test_pairs_lie_within_the_range(first: int, last: int, pairs: int) -> None:
    assert PortPool(first, last, random.Random(1)).free_pairs == pairs


@pytest.mark.parametrize(("first", "last"), [(20000, 20000), (20001, 20002), (20002, 20000)])
def test_range_without_a_pair_is_refused(first: int, last: int) -> None:
    with pytest.raises(ValueError, match="no pair"):
        PortPool(first, last, random.Random(1))
