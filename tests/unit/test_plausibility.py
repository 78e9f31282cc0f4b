"""Which decrypted full frames are believed."""

import random
from dataclasses import replace

import pytest

from bridge.iax2.clock import TIMESTAMP_MODULUS, ReceiveClock
from bridge.iax2.constants import DTMF_DIGITS, ControlSubclass, Format, FrameType, IaxSubclass
from bridge.iax2.frames import FullFrame, parse_frame_untrusted
from bridge.iax2.plausibility import is_echo, is_known, is_plausible
from bridge.iax2.reliability import OUTSTANDING_MAX, SEQUENCE_WINDOW, ReliableSequence
from tests.vectors.reference import open_capture

START = 1000.0
PEER_TIME_MS = 50_000
FRAME = FullFrame(77, 5, PEER_TIME_MS, 0, 0, FrameType.CONTROL, ControlSubclass.RINGING)


def iax(subclass: int, timestamp_ms: int = PEER_TIME_MS) -> FullFrame:
    return replace(FRAME, frame_type=FrameType.IAX, subclass=subclass, timestamp_ms=timestamp_ms)


def believed(frame: FullFrame, sequence: ReliableSequence | None = None) -> bool:
    clock = ReceiveClock()
    clock.set(PEER_TIME_MS, START)
    return is_plausible(frame, sequence or ReliableSequence(), clock, START)


def having_sent(*timestamps_ms: int) -> ReliableSequence:
    sequence = ReliableSequence()
    for timestamp_ms in timestamps_ms:
        frame = replace(FRAME, oseqno=sequence.oseqno, timestamp_ms=timestamp_ms)
        sequence.record(frame, None, START, None)
    return sequence


@pytest.mark.parametrize(
    ("frame_type", "subclass"),
    [
        *((FrameType.IAX, subclass) for subclass in IaxSubclass),
        *((FrameType.VOICE, media_format) for media_format in Format),
        *((FrameType.CONTROL, subclass) for subclass in ControlSubclass),
        *((FrameType.DTMF_END, ord(digit)) for digit in sorted(DTMF_DIGITS)),
        *((FrameType.DTMF_BEGIN, ord(digit)) for digit in sorted(DTMF_DIGITS)),
        (FrameType.CNG, 0),
        (FrameType.TEXT, 0),
        (FrameType.NULL, 0),
        (FrameType.CONTROL, 63),
    ],
)
def test_what_peers_send_is_known(frame_type: int, subclass: int) -> None:
    assert is_known(replace(FRAME, frame_type=frame_type, subclass=subclass))


@pytest.mark.parametrize("subclass", [31, 41, 127])
def test_a_command_that_we_do_not_know_is_believed_in_its_turn_alone(subclass: int) -> None:
    assert not is_known(iax(subclass))
    assert believed(iax(subclass))
    for oseqno in (1, 2, 255):
        assert not believed(replace(iax(subclass), oseqno=oseqno))
    assert not believed(iax(subclass, PEER_TIME_MS - 10_001))


@pytest.mark.parametrize("subclass", [0, 128, 1 << 20, -1])
def test_what_can_be_no_command_is_not_believed(subclass: int) -> None:
    assert not believed(iax(subclass))


@pytest.mark.parametrize(
    ("frame_type", "subclass"),
    [
        (0, 0),
        (11, 0),
        (13, 0),
        (255, 0),
        (FrameType.IAX, 0),
        (FrameType.IAX, -1),
        (FrameType.VOICE, 3),
        (FrameType.VOICE, 1 << 20),
        (FrameType.CONTROL, 64),
        (FrameType.DTMF_END, ord("E")),
        (FrameType.DTMF_BEGIN, 0),
    ],
)
def test_what_no_peer_sends_is_not(frame_type: int, subclass: int) -> None:
    assert not is_known(replace(FRAME, frame_type=frame_type, subclass=subclass))
    assert not believed(replace(FRAME, frame_type=frame_type, subclass=subclass))


@pytest.mark.parametrize("deviation_ms", [-10_000, 0, 10_000])
def test_a_frame_near_its_time_is_believed(deviation_ms: int) -> None:
    assert believed(replace(FRAME, timestamp_ms=PEER_TIME_MS + deviation_ms))


@pytest.mark.parametrize("deviation_ms", [-10_001, 10_001, TIMESTAMP_MODULUS // 2])
def test_a_frame_far_from_its_time_is_not(deviation_ms: int) -> None:
    stamped_ms = (PEER_TIME_MS + deviation_ms) % TIMESTAMP_MODULUS
    assert not believed(replace(FRAME, timestamp_ms=stamped_ms))


@pytest.mark.parametrize(("deviation_ms", "expected"), [(-49_000, True), (10_001, False)])
def test_a_retransmission_may_be_a_minute_late_but_not_early(
    deviation_ms: int, *, expected: bool
) -> None:
    stamped_ms = PEER_TIME_MS + deviation_ms
    again = replace(FRAME, timestamp_ms=stamped_ms, retransmission=True)
    assert believed(again) is expected


@pytest.mark.parametrize("subclass", [IaxSubclass.ACK, IaxSubclass.PONG, IaxSubclass.LAGRP])
class TestEchoes:
    """Their timestamps repeat one of ours, whatever the time."""

    def test_an_echo_of_a_frame_of_ours_is_believed(self, subclass: IaxSubclass) -> None:
        sequence = having_sent(3, 900_000, TIMESTAMP_MODULUS - 1)
        for timestamp_ms in (3, 900_000, TIMESTAMP_MODULUS - 1):
            assert believed(iax(subclass, timestamp_ms), sequence)

    def test_an_echo_of_nothing_is_not(self, subclass: IaxSubclass) -> None:
        sequence = having_sent(3, 900_000)
        for timestamp_ms in (0, 4, 899_999, PEER_TIME_MS):
            assert not believed(iax(subclass, timestamp_ms), sequence)

    def test_a_late_copy_of_an_echo_is_believed(self, subclass: IaxSubclass) -> None:
        sequence = having_sent(3)
        sequence.acknowledge(1, START)
        assert believed(iax(subclass, 3), sequence)

    def test_they_are_told_from_other_frames(self, subclass: IaxSubclass) -> None:
        assert is_echo(iax(subclass))
        assert not is_echo(replace(FRAME, subclass=subclass))


@pytest.mark.parametrize("subclass", [IaxSubclass.PING, IaxSubclass.VNAK, IaxSubclass.HANGUP])
def test_other_iax_frames_are_no_echoes(subclass: IaxSubclass) -> None:
    assert not is_echo(iax(subclass))


@pytest.mark.parametrize("ahead", [0, 1, SEQUENCE_WINDOW, -1, -OUTSTANDING_MAX])
def test_sequence_numbers_within_the_window_are_believed(ahead: int) -> None:
    sequence = ReliableSequence()
    sequence.iseqno = 250
    assert believed(replace(FRAME, oseqno=(250 + ahead) % 256), sequence)


@pytest.mark.parametrize("ahead", [SEQUENCE_WINDOW + 1, 128, -OUTSTANDING_MAX - 1])
def test_sequence_numbers_beyond_the_window_are_not(ahead: int) -> None:
    sequence = ReliableSequence()
    sequence.iseqno = 250
    assert not believed(replace(FRAME, oseqno=(250 + ahead) % 256), sequence)


@pytest.mark.parametrize(("iseqno", "expected"), [(2, True), (162, True), (3, False), (161, False)])
def test_what_was_never_sent_cannot_be_acknowledged(iseqno: int, *, expected: bool) -> None:
    sequence = ReliableSequence()
    sequence.oseqno = 2
    assert believed(replace(FRAME, iseqno=iseqno), sequence) is expected


def test_random_octets_are_next_to_never_believed() -> None:
    noise = random.Random(11)
    sequence = having_sent(*range(0, 4000, 20))
    sequence.acknowledge(sequence.oseqno, START)
    frames = (parse_frame_untrusted(b"\x80\x4d\x00\x05" + noise.randbytes(12)) for _ in range(9999))
    assert not any(isinstance(frame, FullFrame) and believed(frame, sequence) for frame in frames)


@pytest.mark.parametrize("name", ["a-md5-22-22", "b1-md5-16-to-22"])
def test_asterisks_echoes_repeat_a_timestamp_of_the_other_side(name: str) -> None:
    """What is_plausible asks of ACK, PONG and LAGRP is what the captured peers do."""
    sent: dict[tuple[str, int], set[int]] = {}
    echoes = 0
    for opened in open_capture(name):
        frame = opened.frame
        if frame is None or opened.key is None:
            continue
        peer = (opened.datagram.destination, frame.destination_call_number)
        if is_echo(frame):
            echoes += 1
            assert frame.timestamp_ms in sent[peer], opened.datagram.number
        sender = (opened.datagram.source, frame.source_call_number)
        sent.setdefault(sender, set()).add(frame.timestamp_ms)
    assert echoes > 20
