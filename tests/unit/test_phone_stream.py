from hypothesis import given
from hypothesis import strategies as st

from bridge.media.phone_stream import PhoneStream
from bridge.media.rtp import RtpPacket, parse_rtp_untrusted


class Listener:
    """Reads what a stream says of its packets."""

    def __init__(self, entropy: bytes = bytes.fromhex("01020304 FFFFFF00 FFFE")) -> None:
        parts = [entropy[:4], entropy[4:8], entropy[8:]]
        self.stream = PhoneStream(lambda octets: parts.pop(0)[:octets])
        self.first: RtpPacket | None = None

    def audio(self, source_ms: int, now: float) -> tuple[int, int, bool] | None:
        """Return (sequence, timestamp in ms, marker), the first two relative to the first."""
        header = self.stream.audio_header(source_ms, 0, now)
        return None if header is None else self._relative(header)

    def event(self, now: float, *, begins: bool = False) -> tuple[int, int, bool]:
        return self._relative(self.stream.event_header(101, now, begins=begins))

    def _relative(self, header: bytes) -> tuple[int, int, bool]:
        packet = parse_rtp_untrusted(header)
        self.first = first = self.first or packet
        sequence = packet.sequence - first.sequence & 0xFFFF
        samples = packet.timestamp - first.timestamp & 0xFFFFFFFF
        assert samples % 8 == 0
        return sequence, samples // 8, packet.marker


def test_begins_at_random_and_wraps() -> None:
    stream = Listener().stream
    assert stream._sequence == 0x7FFF
    stream._sequence = 0xFFFE
    packets = [
        parse_rtp_untrusted(stream.audio_header(ms, 8, ms / 1000) or b"") for ms in range(0, 60, 20)
    ]
    assert [packet.ssrc for packet in packets] == [0x01020304] * 3
    assert [packet.payload_type for packet in packets] == [8] * 3
    assert [packet.sequence for packet in packets] == [0xFFFF, 0, 1]
    assert [packet.timestamp for packet in packets] == [0xFFFFFF00, 0xFFFFFFA0, 0x40]


def test_first_frame_alone_is_marked() -> None:
    listener = Listener()
    frames = [listener.audio(3000 + 20 * index, index * 0.02) for index in range(3)]
    assert frames == [(0, 0, True), (1, 20, False), (2, 40, False)]


def test_what_is_lost_on_the_link_is_lost_for_the_phone() -> None:
    listener = Listener()
    listener.audio(1000, 0.0)
    assert listener.audio(1060, 0.06) == (3, 60, False)


def test_reordered_frames_keep_their_place() -> None:
    listener = Listener()
    listener.audio(1000, 0.0)
    assert listener.audio(1040, 0.04) == (2, 40, False)
    assert listener.audio(1020, 0.041) == (1, 20, False)
    assert listener.audio(1060, 0.06) == (3, 60, False)


def test_duplicate_is_dropped() -> None:
    listener = Listener()
    listener.audio(1000, 0.0)
    assert listener.audio(1000, 0.001) is None


def test_frame_from_before_the_first_is_dropped() -> None:
    listener = Listener()
    listener.audio(1000, 0.0)
    assert listener.audio(980, 0.001) is None


def test_pause_is_no_loss() -> None:
    listener = Listener()
    listener.audio(1000, 0.0)
    assert listener.audio(4000, 3.0) == (1, 3000, True)
    assert listener.audio(3980, 3.001) is None
    assert listener.audio(4020, 3.02) == (2, 3020, False)


def test_grid_that_moves_a_little_loses_nothing() -> None:
    listener = Listener()
    listener.audio(1000, 0.0)
    assert listener.audio(1025, 0.02) == (1, 25, False)
    assert listener.audio(1040, 0.04) == (2, 40, False)


def test_wrap_of_the_links_timestamps_does_not_show() -> None:
    listener = Listener()
    listener.audio(2**32 - 20, 0.0)
    assert listener.audio(0, 0.02) == (1, 20, False)
    assert listener.audio(20, 0.04) == (2, 40, False)


def test_change_of_source_continues_in_real_time_and_is_marked() -> None:
    listener = Listener()
    listener.audio(1000, 0.0)
    listener.stream.change_source()
    assert listener.audio(777_000, 0.103) == (1, 100, True)
    assert listener.audio(777_020, 0.123) == (2, 120, False)


def test_source_that_changes_at_once_still_moves_on_by_a_frame() -> None:
    listener = Listener()
    listener.audio(1000, 0.0)
    listener.stream.change_source()
    assert listener.audio(5, 0.0) == (1, 20, True)


def test_digit_stands_still_and_audio_resumes_after_it() -> None:
    listener = Listener()
    listener.audio(1000, 0.0)
    assert listener.event(0.02, begins=True) == (1, 20, True)
    assert [listener.event(0.02 + 0.02 * index) for index in (1, 2)] == [
        (2, 20, False),
        (3, 20, False),
    ]
    assert listener.audio(1100, 0.1) == (4, 100, True)


def test_digit_before_any_audio() -> None:
    assert Listener().event(5.0, begins=True) == (0, 0, True)


def test_timestamp_of_now_for_reports() -> None:
    stream = Listener().stream
    assert stream.timestamp_now(9.0) == 0xFFFFFF00
    stream.audio_header(0, 0, 10.0)
    assert stream.timestamp_now(10.5) == (0xFFFFFF00 + 4000) % 2**32


@given(st.lists(st.integers(0, 2**32 - 1)))
def test_any_timestamps_give_headers_or_nothing(timestamps: list[int]) -> None:
    stream = PhoneStream()
    for timestamp_ms in timestamps:
        header = stream.audio_header(timestamp_ms, 0, 0.0)
        assert header is None or len(header) == 12


@given(st.permutations(range(40)))
def test_sequence_order_is_time_order(jitter: list[int]) -> None:
    listener = Listener()
    listener.audio(0, 0.0)
    order = sorted(range(1, 40), key=lambda index: index + jitter[index] % 3)
    heard = [listener.audio(20 * index, 0.02 * place) for place, index in enumerate(order)]
    assert heard == [(index, 20 * index, False) for index in order]
