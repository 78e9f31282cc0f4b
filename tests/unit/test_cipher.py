"""The cipher with its long-lived contexts, held against a plain second implementation."""

import itertools
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.iax2.cipher import (
    BLOCK_OCTETS,
    FULL_CLEAR_OCTETS,
    KEY_OCTETS,
    MINI_CLEAR_OCTETS,
    RESERVE_OCTETS,
    Opener,
    Reserve,
    Sealer,
    encrypted_octets,
)
from tests.vectors.reference import clear_octets, reference_decrypt, reference_encrypt

KEY = bytes.fromhex("e9425645c3b28c562760b954f3c302c7")
OTHER_KEY = bytes.fromhex("f58821815ede0ea89d1e21e74a7da89a")
FULL = bytes.fromhex("8f743484 0000000b 0100 0135")
MINI = bytes.fromhex("0f74 0b90") + bytes(160)

KEYS = st.binary(min_size=16, max_size=16)
FULL_FRAMES = st.binary(min_size=12, max_size=300).map(lambda o: bytes((o[0] | 0x80,)) + o[1:])
MINI_FRAMES = st.binary(min_size=4, max_size=300).map(lambda o: bytes((o[0] & 0x7F,)) + o[1:])
STREAMS = st.lists(st.one_of(FULL_FRAMES, MINI_FRAMES), min_size=1, max_size=8)
SEEDS = st.integers(0, 2**32)


def seal(sealer: Sealer, frame: bytes) -> bytes:
    return sealer.seal_full(frame) if frame[0] >= 0x80 else sealer.seal_mini(frame)


def open_(opener: Opener, datagram: bytes) -> bytes | None:
    return opener.open_full(datagram) if datagram[0] >= 0x80 else opener.open_mini(datagram)


def sealed_by_the_reference(key: bytes, frame: bytes, entropy: Callable[[int], bytes]) -> bytes:
    start = clear_octets(frame)
    extra_octets = (16 - (len(frame) - start) % 16) % 16
    padding = bytearray(entropy(16 + extra_octets))
    padding[15] = padding[15] & 0xF0 | extra_octets
    return frame[:start] + reference_encrypt(key, bytes(padding), frame[start:])


@given(KEYS, FULL_FRAMES, SEEDS)
def test_a_first_full_frame_is_sealed_as_by_the_reference(
    key: bytes, frame: bytes, seed: int
) -> None:
    sealed = Sealer(key, random.Random(seed).randbytes).seal_full(frame)
    assert sealed == sealed_by_the_reference(key, frame, random.Random(seed).randbytes)


@given(KEYS, MINI_FRAMES.filter(lambda frame: len(frame) > MINI_CLEAR_OCTETS), SEEDS)
def test_a_first_mini_frame_is_sealed_as_by_the_reference(
    key: bytes, frame: bytes, seed: int
) -> None:
    sealed = Sealer(key, random.Random(seed).randbytes).seal_mini(frame)
    assert sealed == sealed_by_the_reference(key, frame, random.Random(seed).randbytes)


@given(KEYS, STREAMS, SEEDS)
def test_whatever_one_sealer_sends_is_read_with_an_iv_of_zero(
    key: bytes, frames: list[bytes], seed: int
) -> None:
    sealer = Sealer(key, random.Random(seed).randbytes)
    for frame in frames:
        sealed = seal(sealer, frame)
        start = clear_octets(frame)
        padding, body = reference_decrypt(key, sealed[start:])
        assert sealed[:start] + body == frame
        assert len(padding) == 16 + (-len(body) % 16)


@given(KEYS, STREAMS, SEEDS)
def test_one_opener_reads_whatever_was_encrypted_with_an_iv_of_zero(
    key: bytes, frames: list[bytes], seed: int
) -> None:
    opener = Opener(key)
    entropy = random.Random(seed).randbytes
    for frame in frames:
        assert open_(opener, sealed_by_the_reference(key, frame, entropy)) == frame


@given(KEYS, STREAMS, SEEDS)
def test_sealer_and_opener_agree(key: bytes, frames: list[bytes], seed: int) -> None:
    sealer, opener = Sealer(key, random.Random(seed).randbytes), Opener(key)
    for frame in frames:
        assert open_(opener, seal(sealer, frame)) == frame


@given(KEYS, STREAMS, SEEDS)
def test_frames_may_be_lost_doubled_and_out_of_order(
    key: bytes, frames: list[bytes], seed: int
) -> None:
    network = random.Random(seed)
    sealer, opener = Sealer(key, network.randbytes), Opener(key)
    sent = [(frame, seal(sealer, frame)) for frame in frames]
    for frame, sealed in network.choices(sent, k=2 * len(sent)):
        assert open_(opener, sealed) == frame


@given(st.lists(st.binary(max_size=400), max_size=8), SEEDS)
def test_garbage_neither_raises_nor_spoils_what_follows(garbage: list[bytes], seed: int) -> None:
    opener = Opener(KEY)
    for datagram in garbage:
        opener.open_full(datagram)
        opener.open_mini(datagram)
        good = sealed_by_the_reference(KEY, FULL, random.Random(seed).randbytes)
        assert opener.open_full(good) == FULL


@pytest.mark.parametrize("clear", [FULL_CLEAR_OCTETS, MINI_CLEAR_OCTETS])
def test_datagrams_of_every_length(clear: int) -> None:
    opener = Opener(KEY)
    open_datagram = opener.open_full if clear == FULL_CLEAR_OCTETS else opener.open_mini
    for length_octets in range(301):
        can_be = length_octets >= clear + 32 and (length_octets - clear) % 16 == 0
        opened = open_datagram(bytes(length_octets))
        assert (opened is not None) == can_be, length_octets
        good = sealed_by_the_reference(KEY, MINI, random.Random(length_octets).randbytes)
        assert opener.open_mini(good) == MINI, length_octets


@pytest.mark.parametrize("nibble", range(16))
@pytest.mark.parametrize("other_bits", [0x00, 0xF0, 0x50])
def test_only_the_low_nibble_of_octet_15_tells_the_length_of_the_padding(
    nibble: int, other_bits: int
) -> None:
    padding = bytes(15) + bytes((other_bits | nibble,)) + bytes(nibble)
    body = bytes(range(32 - nibble))
    opener = Opener(KEY)
    for _ in range(2):
        assert opener.decrypt(reference_encrypt(KEY, padding, body)) == body


def test_clear_octets_are_the_headers_own() -> None:
    sealer = Sealer(KEY)
    assert sealer.seal_full(FULL)[:4] == FULL[:4]
    assert sealer.seal_mini(MINI)[:2] == MINI[:2]


@pytest.mark.parametrize("frame", [FULL, MINI])
def test_equal_frames_never_look_alike(frame: bytes) -> None:
    sealer = Sealer(KEY)
    start = clear_octets(frame)
    sealed = [seal(sealer, frame)[start:] for _ in range(200)]
    blocks = [octets[at : at + 16] for octets in sealed for at in range(0, len(octets), 16)]
    assert len(set(blocks)) == len(blocks)


def test_a_sealer_draws_its_own_entropy() -> None:
    assert Sealer(KEY).seal_full(FULL) != Sealer(KEY).seal_full(FULL)


def test_all_padding_is_drawn_anew_for_each_frame() -> None:
    asked: list[int] = []

    def entropy(octets: int) -> bytes:
        asked.append(octets)
        return random.Random(len(asked)).randbytes(octets)

    sealer = Sealer(KEY, entropy)
    for _ in range(3):
        sealer.seal_full(FULL)
    sealer.seal_mini(MINI)
    assert asked == [24, 24, 24, 30]


def test_every_bit_of_the_padding_but_its_length_is_the_entropys() -> None:
    """Over many frames of one context each bit is seen both set and clear."""
    sealer = Sealer(KEY, random.Random(1).randbytes)
    paddings = [
        int.from_bytes(reference_decrypt(KEY, sealer.seal_full(FULL)[4:])[0], "big")
        for _ in range(64)
    ]
    ever_set = ever_clear = 0
    for padding in paddings:
        ever_set |= padding
        ever_clear |= ~padding
    fixed = ~(ever_set & ever_clear) & ((1 << 8 * 24) - 1)
    assert fixed == 0x0F << 8 * 8


def test_keys_have_contexts_of_their_own() -> None:
    """A candidate key that reads a frame in vain leaves the one in use as it was."""
    current, candidate = Opener(KEY), Opener(OTHER_KEY)
    sealer, rotated = Sealer(KEY), Sealer(OTHER_KEY)
    for _ in range(4):
        sealed = sealer.seal_full(FULL)
        assert candidate.open_full(sealed) != FULL
        assert current.open_full(sealed) == FULL
    sealed = rotated.seal_full(FULL)
    assert current.open_full(sealed) != FULL
    assert candidate.open_full(sealed) == FULL


@pytest.mark.parametrize("body_octets", range(1, 301))
def test_encrypted_octets(body_octets: int) -> None:
    octets = encrypted_octets(body_octets)
    assert octets == len(Sealer(KEY).encrypt(bytes(body_octets)))
    assert octets % BLOCK_OCTETS == 0
    assert octets >= 32


@pytest.mark.parametrize(
    ("frame_octets", "clear", "datagram_octets"),
    [
        pytest.param(4 + 160, 2, 194, id="mini frame, 20 ms of mu-law"),
        pytest.param(12 + 160, 4, 196, id="full voice frame"),
        pytest.param(12, 4, 36, id="ACK, DTMF, CONTROL, CNG"),
        pytest.param(12 + 3, 4, 36, id="HANGUP with its cause"),
        pytest.param(12 + 18, 4, 52, id="RTKEY"),
        pytest.param(12 + 17, 4, 52, id="ACCEPT"),
        pytest.param(12 + 34, 4, 68, id="AUTHREP with MD5"),
    ],
)
def test_sizes_of_datagrams(frame_octets: int, clear: int, datagram_octets: int) -> None:
    assert clear + encrypted_octets(frame_octets - clear) == datagram_octets


@pytest.mark.parametrize("context", [Sealer(KEY), Opener(KEY)])
def test_a_repr_shows_no_key(context: Sealer | Opener) -> None:
    assert KEY.hex() not in repr(context)
    assert repr(KEY) not in repr(context)
    assert not hasattr(context, "__dict__")


def test_a_key_has_16_octets() -> None:
    assert len(KEY) == KEY_OCTETS


def test_a_reserve_gives_out_no_octet_twice_and_asks_seldom() -> None:
    asked: list[int] = []
    stream = random.Random(4).randbytes(3 * RESERVE_OCTETS)

    def entropy(octets: int) -> bytes:
        asked.append(octets)
        return stream[(len(asked) - 1) * RESERVE_OCTETS :][:octets]

    reserve = Reserve(entropy)
    given = [reserve.take(30) for _ in range(3 * (RESERVE_OCTETS // 30))]
    assert {len(octets) for octets in given} == {30}
    assert asked == [RESERVE_OCTETS] * 3
    places = [stream.index(octets) for octets in given]
    assert all(later - before >= 30 for before, later in itertools.pairwise(places))
