"""The search through captures finds what it is there to find."""

from pathlib import Path

import dpkt
import pytest
import trio

from tests.lab.addresses import free_udp_port
from tests.lab.capture import Datagram, LinkCapture, assert_absent, can_capture, capture_loopback
from tests.lab.proxy import Impairment, open_proxy

NUMBER = "55512349876"
A, B = ("127.0.0.11", 4569), ("127.0.0.12", 4569)


def _datagrams(*payloads: bytes) -> list[Datagram]:
    return [Datagram(0.02 * n, A, B, payload) for n, payload in enumerate(payloads)]


@pytest.mark.parametrize(
    "hidden",
    [
        NUMBER.encode(),
        NUMBER.encode("utf-16-le"),
        NUMBER.encode("utf-16-be"),
        NUMBER[::-1].encode(),
        NUMBER.encode().hex().encode(),
        bytes(int(digit) for digit in NUMBER),
        bytes.fromhex(f"{NUMBER}f"),
        bytes.fromhex(f"0{NUMBER}"),
        bytes.fromhex("".join(b + a for a, b in zip(NUMBER[::2], f"{NUMBER}f"[1::2], strict=True))),
        int(NUMBER).to_bytes(5, "big"),
    ],
)
def test_a_number_is_found_in_any_form(hidden: bytes) -> None:
    with pytest.raises(AssertionError, match="stands on the link") as caught:
        assert_absent(_datagrams(b"\x80" * 20, b"ab" + hidden + b"cd"), [NUMBER])
    assert NUMBER not in str(caught.value)


def test_digits_spread_over_frames_are_found() -> None:
    frames = [bytes([0x80, n, 0, 0, digit, n]) for n, digit in enumerate(NUMBER.encode())]
    with pytest.raises(AssertionError, match="octet 4 of the datagrams of 6 octets"):
        assert_absent(_datagrams(*frames), [NUMBER])


def test_a_short_number_is_looked_for_in_clear_frames_alone() -> None:
    header = bytes([0x80, 1, 0, 0, 0, 0, 0, 3, 0, 0, 6, 1])
    called = header + b"\x01\x03555"
    token = header + b"\x36\x05x5559"
    assert_absent(_datagrams(b"\x80\x01" + b"555" * 20, token), ["555"])
    with pytest.raises(AssertionError, match="a frame in clear"):
        assert_absent(_datagrams(called), ["555"])


def test_an_empty_capture_proves_nothing() -> None:
    with pytest.raises(AssertionError, match="proves nothing"):
        assert_absent([], [NUMBER])


def test_a_capture_is_written_as_pcap(tmp_path: Path) -> None:
    LinkCapture(_datagrams(b"first", b"second")).write_pcap(tmp_path / "link.pcap")
    with (tmp_path / "link.pcap").open("rb") as file:
        packets = [dpkt.ip.IP(packet) for _, packet in dpkt.pcap.Reader(file)]
    assert [bytes(packet.data.data) for packet in packets] == [b"first", b"second"]
    assert packets[0].data.dport == 4569


async def test_the_loopback_device_is_recorded_where_that_is_allowed() -> None:
    if not can_capture():
        with pytest.raises(PermissionError):
            async with capture_loopback("127.0.0.1"):
                pass
        return
    port = free_udp_port()
    with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as sender:
        await sender.bind(("127.0.0.1", 0))
        async with capture_loopback("127.0.0.1", port) as capture:
            await sender.sendto(b"one", ("127.0.0.1", port))
            await sender.sendto(b"two", ("127.0.0.1", port))
    assert [datagram.payload for datagram in capture.datagrams] == [b"one", b"two"]
    assert capture.dropped == 0


async def test_the_proxy_records_injects_and_impairs() -> None:
    far = trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM)
    near = trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM)
    await near.bind(("127.0.0.1", 0))
    with far, near:
        async with open_proxy("127.0.0.1", Impairment(loss=0.5, seed=3)) as proxy:
            await far.bind(("127.0.0.1", 0))
            proxy.target = far.getsockname()
            for n in range(100):
                await near.sendto(b"%03d" % n, proxy.address)
            with trio.fail_after(2):
                while len(proxy.datagrams) < 100:
                    await trio.lowlevel.checkpoint()
            assert 30 < len(proxy.lost) < 70
            await proxy.inject(b"from the proxy", near.getsockname())
            assert await near.recvfrom(100) == (b"from the proxy", proxy.address)
            await proxy.inject_from_elsewhere(b"from nobody", near.getsockname(), "127.0.0.9")
            _, stranger = await near.recvfrom(100)
            assert stranger[0] == "127.0.0.9"
