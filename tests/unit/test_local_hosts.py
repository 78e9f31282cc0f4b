"""Which of our addresses is taken where SIP has several."""

import pytest

from bridge.sip.local_hosts import LocalHosts
from bridge.sip.settings import parse_listen_url

SEVERAL = ("udp://127.0.0.2:0", "udp://127.0.0.1:0", "udp://127.0.0.3:0", "tcp://[::1]:0")


@pytest.mark.parametrize(
    ("listen", "host", "ours"),
    [
        (SEVERAL, "127.0.0.1", "127.0.0.1"),  # the one that the kernel would answer from
        (SEVERAL, "127.0.0.9", "127.0.0.1"),
        (SEVERAL, "::1", "::1"),
        (SEVERAL[:1], "127.0.0.1", "127.0.0.2"),
        (("udp://0.0.0.0:0",), "127.0.0.1", "127.0.0.1"),
        (("udp://0.0.0.0:0",), "no address", ""),
    ],
)
def test_toward_a_host(listen: tuple[str, ...], host: str, ours: str) -> None:
    assert LocalHosts([parse_listen_url(url) for url in listen]).toward(host) == ours


def test_the_address_that_a_request_has_reached() -> None:
    hosts = LocalHosts([parse_listen_url(url) for url in ("udp://127.0.0.2:0", "udp://[::]:0")])
    assert hosts.reached_by("127.0.0.1", "127.0.0.2") == "127.0.0.2"
    assert hosts.reached_by("::1", "::") == "::1"


def test_without_a_descriptor_left(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("socket.socket", none_left)
    hosts = LocalHosts([parse_listen_url("udp://0.0.0.0:0")])
    assert hosts.reached_by("127.0.0.1", "0.0.0.0") == "0.0.0.0"
