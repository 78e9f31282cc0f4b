"""The fast path of one call's voice: what becomes a mini frame, and which one is believed."""

import random

import pytest

from bridge.iax2.cipher import Opener, Sealer
from bridge.iax2.clock import MINI_MODULUS, TIMESTAMP_MODULUS, ReceiveClock
from bridge.iax2.constants import Format
from bridge.iax2.voice import FRAME_MS, FRAME_OCTETS, VoicePath
from tests.vectors.reference import reference_decrypt, reference_encrypt

KEY = bytes(range(16))
PEER_KEY = bytes(range(16, 32))
ADDRESS = ("192.0.2.9", 4569)
START = 1000.0
PAYLOAD = bytes(range(160))
FULL_FRAME_EVERY_MS = 32_768


def voice_path(media_format: Format = Format.ULAW, *, peer_time_ms: int = 0) -> VoicePath:
    clock = ReceiveClock()
    clock.set(peer_time_ms, START)
    return VoicePath(
        media_format=media_format,
        source_call_number=0x1234,
        peer=(ADDRESS, 0x0567),
        ciphers=(Sealer(KEY, random.Random(1).randbytes), Opener(PEER_KEY)),
        clock=clock,
        started_at=START,
    )


def mini(
    timestamp_ms: int, payload: bytes = PAYLOAD, *, key: bytes = PEER_KEY, extra_octets: int = 14
) -> bytes:
    """Return a mini frame of the peer; 14 octets of padding more than 16 fit 160 of voice."""
    padding = bytearray(random.Random(timestamp_ms).randbytes(16 + extra_octets))
    padding[15] = padding[15] & 0xF0 | extra_octets
    body = (timestamp_ms % MINI_MODULUS).to_bytes(2, "big") + payload
    return b"\x05\x67" + reference_encrypt(key, bytes(padding), body)


def test_a_mini_frame_on_the_wire() -> None:
    path = voice_path()
    path.start_period(0)
    datagram = path.seal(PAYLOAD, 65_556 % FULL_FRAME_EVERY_MS)
    assert datagram is not None
    assert len(datagram) == 194
    assert datagram[:2] == b"\x12\x34"
    _, body = reference_decrypt(KEY, datagram[2:])
    assert body == (20).to_bytes(2, "big") + PAYLOAD


def test_the_first_frame_is_full_and_one_each_32768_ms() -> None:
    path = voice_path()
    full_at = []
    for timestamp_ms in range(0, 100_000, FRAME_MS):
        if path.seal(PAYLOAD, timestamp_ms) is None:
            full_at.append(timestamp_ms)
            path.start_period(timestamp_ms)
    assert full_at == [0, 32_780, 65_540, 98_320]
    assert path.sent == 5000


def test_a_full_frame_is_due_when_32_bits_wrap() -> None:
    path = voice_path()
    path.start_period(TIMESTAMP_MODULUS - 20)
    assert path.seal(PAYLOAD, TIMESTAMP_MODULUS - 1) is not None
    assert path.seal(PAYLOAD, 0) is None


def test_equal_voice_never_looks_alike() -> None:
    path = voice_path()
    path.start_period(0)
    datagrams = {path.seal(bytes(160), 40) for _ in range(50)}
    assert len(datagrams) == 50


def test_the_calls_own_time() -> None:
    path = voice_path()
    assert path.elapsed_ms(START) == 0
    assert path.elapsed_ms(START + 12.5) == 12_500
    assert path.elapsed_ms(START + TIMESTAMP_MODULUS / 1000 + 1) == 1000


def test_the_route_is_the_peers_address_and_first_octets() -> None:
    assert voice_path().route == (ADDRESS, b"\x05\x67")


@pytest.mark.parametrize("media_format", FRAME_OCTETS)
def test_each_format_has_its_frame(media_format: Format) -> None:
    path = voice_path(media_format)
    payload = bytes(FRAME_OCTETS[media_format])
    extra_octets = -(2 + len(payload)) % 16
    assert path.frame_octets == len(payload)
    assert path.open(mini(0, payload, extra_octets=extra_octets), START) == (0, payload)


def test_voice_in_time_is_played() -> None:
    path = voice_path()
    for frame in range(500):
        timestamp_ms = frame * FRAME_MS
        opened = path.open(mini(timestamp_ms), START + timestamp_ms / 1000)
        assert opened == (timestamp_ms, PAYLOAD)
    assert path.received == 500
    assert (path.lost, path.out_of_order) == (0, 0)
    assert path.dropped_size == path.dropped_implausible == 0


@pytest.mark.parametrize("wrap_ms", [MINI_MODULUS, TIMESTAMP_MODULUS])
def test_voice_across_a_wrap(wrap_ms: int) -> None:
    path = voice_path(peer_time_ms=wrap_ms - 2000)
    for elapsed_ms in range(0, 4000, FRAME_MS):
        timestamp_ms = (wrap_ms - 2000 + elapsed_ms) % TIMESTAMP_MODULUS
        opened = path.open(mini(timestamp_ms), START + elapsed_ms / 1000)
        assert opened == (timestamp_ms, PAYLOAD)
    assert (path.received, path.lost, path.out_of_order) == (200, 0, 0)


@pytest.mark.parametrize("octets", [0, 1, 2, 3, 34, 178, 193, 195, 210])
def test_a_mini_frame_of_another_size_is_no_voice(octets: int) -> None:
    path = voice_path()
    assert path.open(bytes(octets), START) is None
    assert (path.dropped_size, path.dropped_implausible) == (1, 0)


def test_padding_that_leaves_another_size_is_no_voice() -> None:
    """The datagram's size is right, but its padding leaves one octet too many."""
    path = voice_path()
    datagram = mini(0, bytes(161), extra_octets=13)
    assert len(datagram) == 194
    assert path.open(datagram, START) is None
    assert (path.dropped_size, path.dropped_implausible) == (0, 1)


@pytest.mark.parametrize("deviation_ms", [-30_000, -1001, 1001, 30_000])
def test_voice_far_from_its_time_is_no_voice(deviation_ms: int) -> None:
    path = voice_path(peer_time_ms=100_000)
    assert path.open(mini(100_000 + deviation_ms), START) is None
    assert path.dropped_implausible == 1


@pytest.mark.parametrize("deviation_ms", [-1000, 1000])
def test_the_next_voice_is_played_a_second_from_its_time(deviation_ms: int) -> None:
    path = voice_path(peer_time_ms=100_000)
    path.take_full_frame(100_000, START)
    at = START + (FRAME_MS - deviation_ms) / 1000
    assert path.open(mini(100_020), at) == (100_020, PAYLOAD)


def test_another_key_gives_next_to_no_voice() -> None:
    """There is no MAC: padding and time are all that is left, and they let 1 in 1,000 through."""
    path = voice_path()
    played = sum(path.open(mini(at, key=KEY), START) is not None for at in range(3000))
    assert played <= 15
    assert path.dropped_implausible == 3000 - played


def test_garbage_between_good_frames_spoils_nothing() -> None:
    path = voice_path()
    noise = random.Random(7)
    for frame in range(301):
        path.open(b"\x05\x67" + noise.randbytes(frame), START + frame * FRAME_MS / 1000)
        timestamp_ms = frame * FRAME_MS
        opened = path.open(mini(timestamp_ms), START + timestamp_ms / 1000)
        assert opened == (timestamp_ms, PAYLOAD)


def test_loss_is_told_by_timestamps() -> None:
    path = voice_path()
    assert path.lost == 0
    for frame in range(100):
        if frame % 10 != 5:
            path.open(mini(frame * FRAME_MS), START + frame * FRAME_MS / 1000)
    assert path.received == 90
    assert path.lost == 10


def test_late_voice_counts_as_out_of_order_and_duplicates_never_as_gain() -> None:
    path = voice_path()
    for timestamp_ms in (0, 20, 60, 40, 40, 80):
        path.open(mini(timestamp_ms), START + 0.08)
    assert path.out_of_order == 2
    assert path.last_timestamp_ms == 80
    assert path.lost == 0


def test_jitter_is_that_of_rfc_3550() -> None:
    path = voice_path()
    expected = 0.0
    transit_ms = 0.0
    for frame in range(200):
        late_ms = 16 * (frame % 2)
        before_ms, transit_ms = transit_ms, float(late_ms)
        expected += (abs(transit_ms - before_ms) - expected) / 16
        path.open(mini(frame * FRAME_MS), START + (frame * FRAME_MS + late_ms) / 1000)
    assert path.jitter_ms == pytest.approx(expected, abs=2)
    assert 10 < path.jitter_ms < 20


def test_voice_in_full_frames_counts_and_sets_the_time_forward() -> None:
    path = voice_path()
    path.take_full_frame(5000, START)
    assert path.received == 1
    assert path.open(mini(5020), START + 0.02) == (5020, PAYLOAD)
    assert path.open(mini(40), START + 0.04) is None


def test_a_full_frame_that_was_late_does_not_move_the_time() -> None:
    """Sent again two seconds later, or held until a lost one came: minis are judged as before."""
    path = voice_path(peer_time_ms=10_000)
    path.take_full_frame(8000, START)
    assert path.open(mini(10_020), START + 0.02) == (10_020, PAYLOAD)
