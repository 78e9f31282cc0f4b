"""What the demo's eavesdropper concludes from a call's datagrams."""

import os
from collections.abc import Iterator
from typing import Final

import pytest

from bridge.audit.wire import Kind
from bridge.demo.eavesdropper import Datagram, Way
from bridge.demo.observation import Observation, observe
from bridge.iax2.cipher import Sealer
from bridge.iax2.constants import Format, FrameType, IaxSubclass
from bridge.iax2.frames import FullFrame, MiniFrame

OUT, BACK = Way.TO_FAR_END, Way.TO_BRIDGE
SEALER: Final = Sealer(bytes(16), os.urandom)
CNG: Final = (FrameType.CNG, 0, b"")
VOICE: Final = (FrameType.VOICE, Format.ULAW, bytes(160))
ACK: Final = (FrameType.IAX, IaxSubclass.ACK, b"")


def clear(at: float, way: Way, subclass: IaxSubclass) -> Datagram:
    return Datagram(at, way, FullFrame(7, 9, 3, 0, 0, FrameType.IAX, subclass).encode())


def sealed(at: float, way: Way, kind: tuple[int, int, bytes] = CNG) -> Datagram:
    frame_type, subclass, data = kind
    frame = FullFrame(7, 9, 20, 3, 4, frame_type, subclass, data)
    return Datagram(at, way, SEALER.seal_full(frame.encode()))


def mini(at: float, way: Way) -> Datagram:
    datagram = MiniFrame(7, 40, bytes(160)).encode()
    return Datagram(at, way, datagram[:2] + SEALER.encrypt(datagram[2:]))


def set_up() -> Iterator[Datagram]:
    yield clear(0.00, OUT, IaxSubclass.NEW)
    yield clear(0.01, BACK, IaxSubclass.CALLTOKEN)
    yield clear(0.02, OUT, IaxSubclass.NEW)
    yield clear(0.03, BACK, IaxSubclass.AUTHREQ)
    yield sealed(0.04, OUT)  # AUTHREP, ACCEPT, ANSWER and their ACKs
    yield sealed(0.05, BACK)
    yield sealed(0.06, OUT)


def conversation(slots: int = 26) -> Iterator[Datagram]:
    """From the first voice on: dialing, the far end's first voice, the clock, a HANGUP."""
    yield sealed(0.07, OUT, VOICE)
    yield sealed(0.07, BACK, ACK)
    for slot in range(slots):
        yield sealed(0.4 + slot * 0.06, OUT)
        yield sealed(0.401 + slot * 0.06, BACK, ACK)
    dialed_at = 0.4 + (slots - 1) * 0.06
    yield sealed(dialed_at + 0.002, BACK, VOICE)
    yield sealed(dialed_at + 0.003, OUT, ACK)
    for slot in range(1, 5):
        yield sealed(dialed_at + slot * 0.5, OUT)
    yield sealed(dialed_at + 2.1, OUT)


def minis() -> Iterator[Datagram]:
    for number in range(200):
        yield mini(0.1 + number * 0.02, OUT)
        yield mini(0.11 + number * 0.02, BACK)


def whole(*parts: Iterator[Datagram]) -> Observation:
    datagrams = [datagram for part in parts for datagram in part]
    return observe(sorted(datagrams, key=lambda datagram: datagram.at))


@pytest.mark.parametrize("slots", [2, 26, 40])
def test_the_dialing_is_told_from_what_is_around_it(slots: int) -> None:
    observation = whole(set_up(), conversation(slots), minis())
    dialing = observation.dialing
    assert (dialing.count, dialing.octets) == (slots, (36,))
    assert dialing.median_ms == pytest.approx(60)
    last = observation.observed[observation.dialing_ends - 1]
    assert last.datagram.at == pytest.approx(0.4 + (slots - 1) * 0.06)


def test_the_clock_afterwards_without_the_end_of_the_call() -> None:
    after = whole(set_up(), conversation(), minis()).after_dialing
    assert (after.count, after.octets) == (4, (36,))
    assert after.median_ms == pytest.approx(500)


def test_audio_of_each_way() -> None:
    observation = whole(set_up(), conversation(), minis())
    for way in Way:
        steps = observation.minis[way]
        assert (steps.count, steps.octets) == (200, (194,))
        assert steps.median_ms == pytest.approx(20)
        assert steps.central_ms is not None
        assert steps.central_ms[0] == pytest.approx(20)
        assert steps.central_ms[1] == pytest.approx(20)


def test_what_is_in_clear() -> None:
    observation = whole(set_up(), conversation())
    assert [reading.name for reading in observation.clear] == ["NEW", "CALLTOKEN", "NEW", "AUTHREQ"]
    assert observation.clear_after_challenge == 0
    assert observation.repeated_blocks == 0


def test_an_authreq_sent_again_is_no_leak_but_anything_else_is() -> None:
    again = clear(0.5, BACK, IaxSubclass.AUTHREQ)
    leak = clear(0.6, OUT, IaxSubclass.HANGUP)
    assert whole(set_up(), iter([again])).clear_after_challenge == 0
    assert whole(set_up(), iter([again, leak])).clear_after_challenge == 1
    assert whole(iter([leak])).clear_after_challenge == 1


def test_a_frame_that_comes_twice_octet_for_octet_shows() -> None:
    twice = sealed(0.5, OUT)
    observation = whole(set_up(), iter([twice, Datagram(0.6, OUT, twice.payload)]))
    assert observation.repeated_blocks == 2


def test_no_call_at_all() -> None:
    observation = observe([])
    assert (observation.dialing.count, observation.dialing.octets) == (0, ())
    assert observation.dialing.median_ms is None
    assert observation.dialing_ends == 0


def test_octets_that_nobody_understands() -> None:
    observation = observe([Datagram(0, OUT, b"?"), Datagram(1, BACK, b"\x80\x01" + bytes(31))])
    kinds = [seen.reading.kind for seen in observation.observed]
    assert kinds[0] is Kind.UNKNOWN
