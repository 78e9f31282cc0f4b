from pathlib import Path
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.audit.capture import CaptureError, CaptureReader, Packet
from bridge.audit.packets import LINK_TYPES, Datagram, datagram_of, peer_text
from bridge.audit.writer import PcapWriter, ip_packet
from tests.vectors.capture import read_capture

DATAGRAM = Datagram(5, (b"\x7f\0\0\1", 4569), (b"\x7f\0\0\2", 4570), b"payload", 7)
DATAGRAM_6 = Datagram(5, (bytes(15) + b"\1", 4569), (bytes(15) + b"\2", 4570), b"payload", 7)
IPV4, IPV6 = ip_packet(DATAGRAM), ip_packet(DATAGRAM_6)
MACS = bytes(12)


def read(tmp_path: Path, octets: bytes) -> tuple[list[Packet], list[str]]:
    path = tmp_path / "capture"
    path.write_bytes(octets)
    with CaptureReader(path) as reader:
        return list(reader), reader.notes


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    body += bytes(-len(body) % 4)
    length = pack(order + "I", len(body) + 12)
    return pack(order + "I", kind) + length + body + length


def section(order: str = "<") -> bytes:
    return block(0x0A0D0D0A, pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(order: str = "<", options: bytes = b"") -> bytes:
    return block(1, pack(order + "HHI", 101, 0, 0) + options, order)


def packet_block(at: int, octets: bytes, order: str = "<") -> bytes:
    head = pack(order + "IIIII", 0, at >> 32, at & 0xFFFFFFFF, len(octets), len(octets))
    return block(6, head + octets, order)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("magic", "fraction_ns"), [(0xA1B2C3D4, 1000), (0xA1B23C4D, 1)])
def test_pcap(tmp_path: Path, order: str, magic: int, fraction_ns: int) -> None:
    head = pack(order + "IHHiIII", magic, 2, 4, 0, 0, 65535, 101)
    packets, notes = read(tmp_path, head + pack(order + "IIII", 7, 9, 3, 50) + b"abc")
    assert packets == [Packet(7_000_000_000 + 9 * fraction_ns, 101, b"abc", 50)]
    assert notes == []


@pytest.mark.parametrize("order", ["<", ">"])
def test_pcapng(tmp_path: Path, order: str) -> None:
    nanoseconds = pack(order + "HHB3x", 9, 1, 9) + pack(order + "HHq", 14, 8, 2)
    octets = section(order) + interface(order, nanoseconds) + block(5, b"statistics", order)
    packets, notes = read(tmp_path, octets + packet_block(7, b"abc", order))
    assert packets == [Packet(2_000_000_007, 101, b"abc", 3)]
    assert notes == []


def test_pcapng_units_and_other_kinds_of_packets(tmp_path: Path) -> None:
    old = block(2, pack("<HHIIII", 0, 0, 0, 8, 2, 9) + b"ab")
    octets = section() + interface(options=pack("<HHB3x", 9, 1, 0x83)) + old
    packets, _ = read(tmp_path, octets + block(3, pack("<I", 4) + b"abcd"))
    assert packets == [Packet(1_000_000_000, 101, b"ab", 9), Packet(0, 101, b"abcd", 4)]


def test_a_section_of_its_own_has_its_own_interfaces(tmp_path: Path) -> None:
    octets = section() + interface() + section(">") + packet_block(1, b"abc", ">")
    assert read(tmp_path, octets) == ([], [])


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        (b"", "is empty"),
        (b"\x1f\x8b\x08\x00", "gunzip it first"),
        (b"hello", "expected a pcap or pcapng file"),
        (bytes.fromhex("d4c3b2a1"), "cut short within its header"),
    ],
)
def test_what_is_no_capture(tmp_path: Path, octets: bytes, why: str) -> None:
    with pytest.raises(CaptureError, match=why):
        read(tmp_path, octets)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="No such file"):
        CaptureReader(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("octets", "note"),
    [
        (packet_block(1, b"abc")[:-6], "cut short"),
        (pack("<II", 6, 4), "damaged"),
        (pack("<II", 6, 1 << 30), "damaged"),
        (pack("<II", 9, 0xFFFFFFFC), "cut short"),
        (b"abc", "cut short"),
    ],
)
def test_what_came_before_the_damage_is_read(tmp_path: Path, octets: bytes, note: str) -> None:
    whole = section() + interface() + packet_block(1, b"abc")
    packets, notes = read(tmp_path, whole + octets)
    assert [packet.octets for packet in packets] == [b"abc"]
    assert len(notes) == 1
    assert note in notes[0]


@pytest.mark.parametrize(
    ("link_type", "header"),
    [
        (0, pack("<I", 2)),
        (108, pack(">I", 24)),
        (101, b""),
        (12, b""),
        (1, MACS + b"\x08\x00"),
        (1, MACS + b"\x81\x00\x00\x05\x08\x00"),
        (1, MACS + b"\x88\xa8\x00\x05\x81\x00\x00\x06\x08\x00"),
        (113, bytes(14) + b"\x08\x00"),
        (276, b"\x08\x00" + bytes(18)),
    ],
)
def test_link_layers(link_type: int, header: bytes) -> None:
    assert datagram_of(Packet(5, link_type, header + IPV4, 0)) == DATAGRAM
    header = header.replace(b"\x08\x00", b"\x86\xdd")
    assert datagram_of(Packet(5, link_type, header + IPV6, 0)) == DATAGRAM_6


def test_ipv6_extension_headers_are_passed() -> None:
    hops = bytes((17, 0)) + bytes(6)
    packet = IPV6[:6] + b"\0" + IPV6[7:40] + hops + IPV6[40:]
    assert datagram_of(Packet(5, 101, packet, 0)) == DATAGRAM_6
    fragment = bytes((17, 0, 0, 8)) + bytes(4)
    packet = IPV6[:6] + b"\x2c" + IPV6[7:40] + fragment + IPV6[40:]
    assert datagram_of(Packet(5, 101, packet, 0)) is None


def test_a_packet_that_was_cut() -> None:
    read_as = datagram_of(Packet(5, 101, IPV4[:-3], len(IPV4)))
    assert read_as == Datagram(5, DATAGRAM.source, DATAGRAM.destination, b"payl", 7)


def test_fragments_and_other_protocols_are_none() -> None:
    assert datagram_of(Packet(5, 101, IPV4[:6] + b"\x20\x00" + IPV4[8:], 0)) is None
    assert datagram_of(Packet(5, 101, IPV4[:9] + b"\x06" + IPV4[10:], 0)) is None
    assert datagram_of(Packet(5, 147, IPV4, 0)) is None


def test_peers_as_people_write_them() -> None:
    assert peer_text(DATAGRAM.source) == "127.0.0.1:4569"
    assert peer_text(DATAGRAM_6.source) == "[::1]:4569"


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "written.pcap"
    with path.open("wb") as file:
        writer = PcapWriter(file)
        for datagram in (DATAGRAM, DATAGRAM_6):
            writer.write(datagram)
    with CaptureReader(path) as reader:
        assert [datagram_of(packet) for packet in reader] == [DATAGRAM, DATAGRAM_6]


def test_a_real_capture_reads_as_dpkt_reads_it() -> None:
    with CaptureReader(Path("tests/vectors/captures/a-md5-22-22.pcap")) as reader:
        ours = [datagram_of(packet) for packet in reader]
    theirs = [datagram.octets for datagram in read_capture("a-md5-22-22").datagrams]
    assert [datagram and datagram.octets for datagram in ours] == theirs


@given(octets=st.binary(max_size=200), link_type=st.sampled_from(sorted(LINK_TYPES)))
def test_no_packet_raises(octets: bytes, link_type: int) -> None:
    datagram_of(Packet(0, link_type, octets, len(octets)))


@given(
    start=st.sampled_from([b"", section(), section() + interface(), section(">") + interface(">")]),
    octets=st.binary(max_size=300),
)
def test_garbage_raises_one_error_alone(
    tmp_path_factory: pytest.TempPathFactory, start: bytes, octets: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "garbage"
    path.write_bytes(start + octets)
    try:
        with CaptureReader(path) as reader:
            assert all(len(packet.octets) <= 300 for packet in reader)
    except CaptureError:
        assert not start
