"""Voice in doubt: a clock that was set by a late frame, and frames under another key."""

from random import Random

from bridge.iax2.cipher import Opener, Sealer
from bridge.iax2.clock import MINI_MODULUS, ReceiveClock
from bridge.iax2.constants import Format, FrameType
from bridge.iax2.frames import FullFrame
from bridge.iax2.keys import ReceiveKeys
from bridge.iax2.voice import FRAME_MS, VoicePath
from tests.vectors.reference import reference_decrypt, reference_encrypt

KEY, OTHER_KEY = bytes(range(16)), bytes(range(16, 32))
START = 1000.0
PAYLOAD = bytes(range(160))
TIME_MS = 100_000


def voice_path() -> VoicePath:
    clock = ReceiveClock()
    clock.set(TIME_MS, START)
    return VoicePath(
        media_format=Format.ULAW,
        source_call_number=2,
        peer=(("192.0.2.9", 4569), 0x0567),
        ciphers=(Sealer(KEY), Opener(KEY)),
        clock=clock,
        started_at=START,
    )


def mini(timestamp_ms: int, key: bytes = KEY, *, size: int = 160, seed: int = 1) -> bytes:
    padding = bytearray(Random(seed).randbytes(16 + (-(2 + size) % 16)))
    padding[15] = padding[15] & 0xF0 | len(padding) - 16
    body = (timestamp_ms % MINI_MODULUS).to_bytes(2, "big") + PAYLOAD[:size]
    return b"\x05\x67" + reference_encrypt(key, bytes(padding), body)


def passing_under_both(timestamp_ms: int) -> bytes:
    """Return a frame under one key that by chance is as plausible under the other."""
    for seed in range(100_000):
        datagram = mini(timestamp_ms, OTHER_KEY, seed=seed)
        padding, body = reference_decrypt(KEY, datagram[2:])
        late_ms = (int.from_bytes(body[:2], "big") - timestamp_ms) % MINI_MODULUS
        if len(padding) == 30 and min(late_ms, MINI_MODULUS - late_ms) < 50:
            return datagram
    raise AssertionError("one in 11,000 should do")


def announced() -> ReceiveKeys:
    """Return keys of which the second one is announced."""
    keys = ReceiveKeys(Opener(KEY), START)
    keys.announce(OTHER_KEY)
    return keys


def proven() -> ReceiveKeys:
    """Return keys of which the second one is proven, and the first one is the one before."""
    keys = ReceiveKeys(Opener(OTHER_KEY), START)
    keys.announce(KEY)
    frame = FullFrame(5, 2, 0, 0, 0, FrameType.CNG, 0)
    keys.open(Sealer(KEY).seal_full(frame.encode()), lambda found: found == frame, START)
    assert keys.previous
    return keys


class TestLateClock:
    """The peer's first frame came late, so that all of its voice is ahead of its time."""

    def hear(self, path: VoicePath, *ahead_ms: int) -> list[bool]:
        return [
            path.open(mini(TIME_MS + FRAME_MS * n + ahead), START + FRAME_MS * n / 1000) is not None
            for n, ahead in enumerate(ahead_ms)
        ]

    def test_three_in_a_row_that_agree_set_it(self) -> None:
        path = voice_path()
        assert self.hear(path, 1500, 1500, 1500, 1500, 1500) == [False, False, True, True, True]
        assert path.dropped_implausible == 2
        assert path.jitter_ms == 0

    def test_those_that_do_not_agree_set_nothing(self) -> None:
        assert not any(self.hear(voice_path(), 1500, 9000, 20_000, 3000, 1500, 1500))

    def test_voice_that_is_late_sets_nothing(self) -> None:
        assert not any(self.hear(voice_path(), *[-1500] * 10))

    def test_garbage_between_them_begins_the_count_anew(self) -> None:
        path = voice_path()
        for n in range(9):
            ahead = mini(TIME_MS + 1500) if n % 3 else b"\x05\x67" + bytes(192)
            assert path.open(ahead, START) is None

    def test_nothing_sets_it_while_the_peer_changes_keys(self) -> None:
        path = voice_path()
        path.use_keys(announced(), START)
        assert not any(self.hear(path, *[1500] * 10))


class TestRotation:
    def test_a_frame_that_passes_under_the_announced_key_too_is_not_played(self) -> None:
        datagram = passing_under_both(TIME_MS)
        path = voice_path()
        assert path.open(datagram, START) is not None
        path = voice_path()
        path.use_keys(announced(), START)
        assert path.open(datagram, START + 3600) is None
        assert path.open(datagram, START) is None
        assert path.dropped_implausible == 2
        assert path.open(mini(TIME_MS), START) == (TIME_MS, PAYLOAD)

    def test_nor_one_that_passes_under_the_key_before_for_two_seconds(self) -> None:
        datagram = passing_under_both(TIME_MS)
        path = voice_path()
        path.use_keys(proven(), START - 1.9)
        assert path.open(datagram, START) is None
        path.use_keys(proven(), START - 2.1)
        assert path.open(datagram, START) is not None

    def test_what_the_other_key_makes_garbage_of_is_played(self) -> None:
        path = voice_path()
        path.use_keys(announced(), START)
        played = [path.open(mini(TIME_MS, seed=seed), START) is not None for seed in range(500)]
        assert sum(played) >= 490


class TestPlace:
    """Voice that is not just the next frame: where it may be, since no MAC tells whose it is."""

    def hear(self, path: VoicePath, *timestamps_ms: int, late_ms: int = 0) -> list[bool]:
        return [
            path.open(mini(TIME_MS + at), START + (at + late_ms) / 1000) is not None
            for at in timestamps_ms
        ]

    def test_gaps_and_late_frames_are_whole_frames_near_their_time(self) -> None:
        path = voice_path()
        assert all(self.hear(path, 0, 20, 40, 200, 160, 160, 220, 6000))

    def test_between_two_frames_there_is_none(self) -> None:
        path = voice_path()
        assert self.hear(path, 0, 20, 47, 40, 60) == [True, True, False, True, True]
        assert path.dropped_implausible == 1

    def test_voice_that_begins_anew_loses_one_frame(self) -> None:
        path = voice_path()
        assert self.hear(path, 0, 20, 507, 527, 547, 587) == [True, True, False, True, True, True]

    def test_a_peer_without_even_steps_loses_one_frame(self) -> None:
        path = voice_path()
        timestamps_ms = [20 * n + Random(n).randrange(4) for n in range(500)]
        assert self.hear(path, *timestamps_ms).count(False) <= 1

    def test_garbage_in_between_tells_nothing(self) -> None:
        path = voice_path()
        assert all(self.hear(path, 0, 20))
        for n in range(10):
            assert self.hear(path, 107 + 20 * n) == [False]
            path.open(b"\x05\x67" + bytes(192), START)

    def test_what_is_later_than_usual_is_believed_once_that_is_usual(self) -> None:
        path = voice_path()
        assert all(self.hear(path, *range(0, 1000, 20)))
        heard = [
            self.hear(path, at, late_ms=Random(at).randrange(500))[0]
            for at in range(1040, 9000, 40)
        ]
        assert heard.count(False) <= 20
        assert all(heard[-100:])

    def test_frames_under_a_key_whose_rtkey_is_under_way_are_not_played(self) -> None:
        path = voice_path()
        foreign = Sealer(OTHER_KEY, Random(1).randbytes)
        played = 0
        for n in range(10_000):
            assert self.hear(path, 20 * n) == [True]
            now = START + 20 * n / 1000
            body = (20 * n + 20).to_bytes(4, "big")[2:] + PAYLOAD
            played += path.open(b"\x05\x67" + foreign.encrypt(body), now) is not None
        assert played == 0
