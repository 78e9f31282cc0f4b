"""A phone's RTP sequence number and timestamp wrap in mid-call, and so do those of our own."""

import pytest

from bridge.media.phone_stream import PhoneStream
from bridge.media.rtp import SEQUENCE_MASK, TIMESTAMP_MASK
from tests.lab.relay_calls import RelayCalls, assert_one_frame_each_slot, speech
from tests.lab.results import record

FRAMES_BEFORE = 3000
FRAMES = 3750
SAMPLES = 160


@pytest.mark.parametrize("wrap", ["sequence", "timestamp", "both"])
def test_a_phones_numbers_wrap_60_s_after_the_call_began(wrap: str) -> None:
    first = SEQUENCE_MASK + 1 - FRAMES_BEFORE if wrap != "timestamp" else 0
    first_timestamp = TIMESTAMP_MASK + 1 - FRAMES_BEFORE * SAMPLES if wrap != "sequence" else 0
    with RelayCalls() as calls:
        phone, media, far = calls.connected()
        for number in range(FRAMES):
            phone.send(
                media,
                (first + number) & SEQUENCE_MASK,
                speech(number),
                timestamp=(first_timestamp + number * SAMPLES) & TIMESTAMP_MASK,
            )
            calls.slot()
        assert_one_frame_each_slot(far)
        heard = [frame.payload for frame in far.frames]
        begin = heard.index(speech(0))
        assert heard[begin : begin + FRAMES - 5] == [speech(n) for n in range(FRAMES - 5)]
    record("RTP wraps", {"wrap": f"from the phone: {wrap}", "frames": FRAMES})


def test_our_own_numbers_wrap_60_s_after_the_call_began() -> None:
    with RelayCalls() as calls:
        phone, media, far = calls.connected()
        media.stream = PhoneStream(near_the_wrap)
        media.stream._sequence = -FRAMES_BEFORE & SEQUENCE_MASK
        received = []
        for number in range(FRAMES):
            calls.from_link(far, number * 20, speech(number))
            calls.slot()
            received += phone.received()
    assert [packet.payload for packet in received] == [speech(n) for n in range(FRAMES)]
    first, last = received[0], received[-1]
    for number, packet in enumerate(received):
        assert packet.sequence == (first.sequence + number) & SEQUENCE_MASK
        assert packet.timestamp == (first.timestamp + number * SAMPLES) & TIMESTAMP_MASK
    assert last.sequence < first.sequence
    assert last.timestamp < first.timestamp
    record("RTP wraps", {"wrap": "toward the phone", "frames": FRAMES})


def near_the_wrap(octets: int) -> bytes:
    """Let what a stream draws at random lie 60 s before its wrap."""
    ahead = {2: FRAMES_BEFORE, 4: FRAMES_BEFORE * SAMPLES}[octets]
    return ((1 << 8 * octets) - ahead).to_bytes(octets, "big")
