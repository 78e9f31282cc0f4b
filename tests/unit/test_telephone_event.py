"""Digits in RTP: one report for each key press, whatever the network does to its packets."""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.media.telephone_event import DIGITS, TelephoneEventReceiver, TelephoneEventSender

PACKET_SAMPLES = 160
TIMESTAMPS = 1 << 32

Packet = tuple[int, bool, bytes]
"""RTP timestamp, marker, payload."""


def event(digit: str, duration: int, *, end: bool = False, volume: int = 10) -> bytes:
    return struct.pack("!BBH", DIGITS.index(digit), volume | (0x80 if end else 0), duration)


@dataclass(frozen=True)
class Press:
    digit: str
    packets: int
    gap_packets: int


def packets_of(press: Press, start: int) -> list[Packet]:
    """Return the packets that RFC 4733 asks for, written without the sender under test."""
    sent: list[Packet] = []
    for index in range(press.packets):
        end = index == press.packets - 1
        payload = event(press.digit, (index + 1) * PACKET_SAMPLES, end=end)
        sent += [(start, index == 0, payload)] * (3 if end else 1)
    return [(timestamp, marker and i == 0, p) for i, (timestamp, marker, p) in enumerate(sent)]


def trains(presses: Iterable[Press], start: int) -> list[list[Packet]]:
    sent = []
    for press in presses:
        sent.append(packets_of(press, start))
        start = (start + (press.packets + press.gap_packets) * PACKET_SAMPLES) % TIMESTAMPS
    return sent


def received(packets: Iterable[Packet]) -> str:
    receiver = TelephoneEventReceiver()
    return "".join(receiver.receive(*packet) or "" for packet in packets)


PRESSES = st.lists(
    st.builds(Press, st.sampled_from(DIGITS), st.integers(2, 12), st.integers(2, 20)),
    min_size=1,
    max_size=12,
)
STARTS = st.integers(0, TIMESTAMPS - 1) | st.integers(TIMESTAMPS - 9600, TIMESTAMPS - 1)


@given(PRESSES, STARTS)
def test_each_press_is_one_digit(presses: list[Press], start: int) -> None:
    packets = [packet for train in trains(presses, start) for packet in train]
    assert received(packets) == "".join(press.digit for press in presses)


@given(PRESSES, STARTS, st.data())
def test_one_packet_of_a_press_suffices_and_copies_do_not_count(
    presses: list[Press], start: int, data: st.DataObject
) -> None:
    arrived: list[Packet] = []
    for train in trains(presses, start):
        copies = data.draw(st.lists(st.integers(0, 2), min_size=len(train), max_size=len(train)))
        if not any(copies):
            copies[data.draw(st.integers(0, len(train) - 1))] = 1
        arrived += [
            packet for packet, count in zip(train, copies, strict=True) for _ in range(count)
        ]
    assert received(arrived) == "".join(press.digit for press in presses)


@given(PRESSES, STARTS, st.randoms(use_true_random=False))
def test_reordering_loses_and_repeats_nothing(
    presses: list[Press], start: int, random: Random
) -> None:
    packets = [packet for train in trains(presses, start) for packet in train]
    for index in range(0, len(packets), 4):
        window = packets[index : index + 4]
        random.shuffle(window)
        packets[index : index + 4] = window
    assert sorted(received(packets)) == sorted(press.digit for press in presses)


@pytest.mark.parametrize("position", range(9))
def test_the_digit_is_reported_at_the_first_packet_seen(position: int) -> None:
    packets = packets_of(Press("7", 7, 3), 1000)
    receiver = TelephoneEventReceiver()
    assert receiver.receive(*packets[position]) == "7"
    assert all(receiver.receive(*packet) is None for packet in packets)


def test_the_same_digit_twice_without_marker_and_end() -> None:
    first = packets_of(Press("5", 4, 3), 0)[:3]
    second = packets_of(Press("5", 4, 3), 7 * PACKET_SAMPLES)[1:]
    assert received(first + second) == "55"


def long_press(digit: str, samples: int, segment: int = 0xFFFF) -> list[Packet]:
    sent: list[Packet] = []
    for elapsed in range(PACKET_SAMPLES, samples + 1, PACKET_SAMPLES):
        start = (elapsed - 1) // segment * segment
        boundary = elapsed - start < PACKET_SAMPLES and start
        if boundary:
            sent.append((start - segment, False, event(digit, segment)))
        end = elapsed + PACKET_SAMPLES > samples
        sent.append((start, elapsed == PACKET_SAMPLES, event(digit, elapsed - start, end=end)))
    return [((start + 77) % TIMESTAMPS, marker, payload) for start, marker, payload in sent]


@pytest.mark.parametrize("segment", [0xFFFF, 0xFFFF // 160 * 160, 0xFFFF // 480 * 480])
def test_a_long_press_in_segments_is_one_digit(segment: int) -> None:
    packets = long_press("3", 200_000, segment)
    assert len({timestamp for timestamp, _, _ in packets}) == 4
    assert received(packets) == "3"
    assert received(packets[:100] + packets[100:][::7]) == "3"
    assert received(packets + packets_of(Press("3", 5, 3), 300_000)) == "33"


def test_a_segment_after_lost_packets_around_its_start_is_no_new_press() -> None:
    packets = long_press("3", 120_000)
    boundary = next(i for i, packet in enumerate(packets) if packet[0] != 77)
    assert received(packets[: boundary - 20] + packets[boundary + 20 :]) == "3"


@pytest.mark.parametrize(
    "second",
    [
        pytest.param((0xFFFF, True, event("3", 160)), id="marked"),
        pytest.param((0xFFFF, False, event("4", 160)), id="another digit"),
        pytest.param((0xFFFF + 2, False, event("3", 160)), id="later"),
        pytest.param((0xFFFF - 481, False, event("3", 160)), id="earlier"),
    ],
)
def test_what_is_no_segment_is_a_new_press(second: Packet) -> None:
    first = (0, False, event("3", 0xFF00))
    assert received([first, second]) == "3" + DIGITS[second[2][0]]


def test_a_press_that_has_ended_or_was_short_has_no_second_segment() -> None:
    second = (0xFFFF, False, event("3", 160))
    assert received([(0, True, event("3", 0xFF00, end=True)), second]) == "33"
    assert received([(0, True, event("3", 800)), second]) == "33"


def test_a_duration_of_zero_begins_a_press_too() -> None:
    assert received([(0, True, event("1", 0)), (0, False, event("1", 160))]) == "1"


def test_several_short_events_in_one_packet() -> None:
    payload = event("1", 400, end=True) + event("2", 400, end=True) + event("3", 80)
    packets = [
        (0, True, payload),
        (0, False, payload),
        (400, False, event("2", 400, end=True)),
        (800, False, event("3", 240)),
    ]
    assert received(packets) == "123"


def test_what_follows_an_unfinished_event_is_padding() -> None:
    assert received([(0, True, event("1", 160) + event("2", 160))]) == "1"
    assert received([(0, True, event("1", 160, end=True) + bytes(4))]) == "1"
    assert received([(0, True, event("1", 160) + b"\x02")]) == "1"


def test_a_payload_gives_few_digits_whatever_its_length() -> None:
    assert len(received([(0, True, event("1", 160, end=True) * 300)])) == 8


def test_events_that_are_no_digits_are_passed_over() -> None:
    flash = struct.pack("!BBH", 16, 10, 160)
    assert received([(0, True, flash), (0, False, flash), (900, True, event("D", 160))]) == "D"


def test_a_replay_from_long_ago_is_no_new_press() -> None:
    presses = [Press(DIGITS[i % 10], 5, 3) for i in range(100)]
    packets = [packet for train in trains(presses, 5) for packet in train]
    receiver = TelephoneEventReceiver()
    for packet in packets:
        receiver.receive(*packet)
    assert not any(receiver.receive(t, marker=False, payload=p) for t, _, p in packets)


def test_a_sender_that_restarts_its_clock_is_followed() -> None:
    packets = packets_of(Press("1", 5, 3), 4_000_000) + packets_of(Press("2", 5, 3), 100)
    assert received([*packets, *packets_of(Press("3", 5, 3), 2000)[1:]]) == "123"


@given(
    st.lists(
        st.tuples(st.integers(0, TIMESTAMPS - 1), st.booleans(), st.binary(max_size=40)),
        max_size=30,
    )
)
def test_any_payload_is_allowed(packets: Sequence[Packet]) -> None:
    digits = received(packets)
    assert set(digits) <= set(DIGITS)


def sent_by(sender: TelephoneEventSender) -> list[tuple[int, tuple[bool, int, bytes] | None]]:
    """Return (20 ms tick, packet) until the sender has nothing left to do."""
    ticks: list[tuple[int, tuple[bool, int, bytes] | None]] = []
    while sender.active:
        ticks.append((len(ticks), sender.next_packet()))
        assert len(ticks) < 10_000
    return ticks


def test_sender_packets_octet_by_octet() -> None:
    sender = TelephoneEventSender()
    assert sender.queue("#")
    assert [packet for _, packet in sent_by(sender)] == [
        (True, 0, bytes.fromhex("0b0a00a0")),
        (False, -160, bytes.fromhex("0b0a0140")),
        (False, -320, bytes.fromhex("0b0a01e0")),
        (False, -480, bytes.fromhex("0b0a0280")),
        (False, -640, bytes.fromhex("0b8a0320")),
        (False, -800, bytes.fromhex("0b8a0320")),
        (False, -960, bytes.fromhex("0b8a0320")),
        None,
    ]
    assert sender.next_packet() is None


@pytest.mark.parametrize(("duration_ms", "gap_ms"), [(100, 50), (40, 0), (70, 200), (0, 0)])
def test_sender_keeps_duration_and_gap(duration_ms: int, gap_ms: int) -> None:
    sender = TelephoneEventSender(duration_ms=duration_ms, gap_ms=gap_ms)
    assert all(sender.queue(digit) for digit in "1123")
    ticks = sent_by(sender)
    starts = [tick for tick, packet in ticks if packet and packet[0]]
    ends = [tick for tick, packet in ticks if packet and packet[2][1] & 0x80]
    assert len(ends) == 12
    lasting_ms = (ends[0] - starts[0] + 1) * 20
    assert lasting_ms >= duration_ms
    assert all((b - a) * 20 - lasting_ms >= gap_ms for a, b in pairwise(starts))


@given(st.text(DIGITS, min_size=1, max_size=20), STARTS)
def test_what_is_sent_is_received(digits: str, start: int) -> None:
    sender = TelephoneEventSender(queue_max=20)
    assert all(sender.queue(digit) for digit in digits)
    receiver = TelephoneEventReceiver()
    heard = ""
    for tick, packet in sent_by(sender):
        if packet:
            marker, offset, payload = packet
            timestamp = (start + tick * PACKET_SAMPLES + offset) % TIMESTAMPS
            heard += receiver.receive(timestamp, marker, payload) or ""
    assert heard == digits


def test_sender_refuses_what_it_cannot_send() -> None:
    sender = TelephoneEventSender(queue_max=2)
    assert not any(sender.queue(text) for text in ("", "12", "E", "\u00df", "\u0661"))
    assert not sender.active
    assert [sender.queue(digit) for digit in "ab9"] == [True, True, False]
    assert [packet[2][0] for _, packet in sent_by(sender) if packet and packet[0]] == [12, 13]


def test_a_digit_queued_in_the_gap_waits_for_its_end() -> None:
    sender = TelephoneEventSender()
    sender.queue("1")
    for _ in range(7):
        sender.next_packet()
    sender.queue("2")
    assert sender.next_packet() is None
    packet = sender.next_packet()
    assert packet is not None
    assert packet[:2] == (True, 0)


def test_clock_rate_scales_durations() -> None:
    sender = TelephoneEventSender(16000)
    sender.queue("0")
    sender.next_packet()
    assert sender.next_packet() == (False, -320, bytes.fromhex("000a0280"))
