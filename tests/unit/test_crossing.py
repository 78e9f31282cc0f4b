"""Two phones that hear each other through the relay, each in its own codec."""

from itertools import pairwise

import pytest

from bridge.iax2.constants import Format
from bridge.media.call_media import CallMedia
from bridge.media.crossing import cross
from tests.lab.relay_calls import Phone, RelayCalls, speech, talk


def crossed(calls: RelayCalls, formats: tuple[Format, Format]) -> list[tuple[Phone, CallMedia]]:
    """Two phones whose frames pass between them in the second one's codec."""
    ends = [(phone, calls.call(phone, of)) for of in formats for phone in [calls.phone()]]
    cross(ends[0][1], ends[1][1], formats[1], lambda: calls.now)
    return ends


def test_each_hears_the_other_and_silence_where_there_is_nothing() -> None:
    with RelayCalls() as calls:
        (one, media), (other, far) = crossed(calls, (Format.ULAW, Format.ULAW))
        talk(calls, one, media, range(1, 21))
        calls.run(0.1)
        heard = other.received()
        spoken = [packet.payload for packet in heard if packet.payload != b"\xff" * 160]
        assert spoken == [speech(number) for number in range(1, 21)]
        steps = {after.sequence - before.sequence for before, after in pairwise(heard)}
        assert steps == {1}
        assert {packet.payload for packet in one.received()} == {b"\xff" * 160}
        talk(calls, other, far, range(1, 11))
        calls.run(0.1)
        assert speech(5) in [packet.payload for packet in one.received()]
        assert calls.sends == []
        assert calls.failures == []


@pytest.mark.parametrize("formats", [(Format.ALAW, Format.ULAW), (Format.ULAW, Format.ALAW)])
def test_laws_are_translated_both_ways(formats: tuple[Format, Format]) -> None:
    with RelayCalls() as calls:
        ends = crossed(calls, formats)
        for (speaker, media), (listener, _) in (ends, ends[::-1]):
            payload_type = 0 if media.format is Format.ULAW else 8
            for number in range(1, 11):
                speaker.send(media, number, speech(1), payload_type)
                calls.slot()
            calls.run(0.1)
            payloads = [packet.payload for packet in listener.received()]
            assert len({octet for payload in payloads for octet in payload}) > 1
            assert speech(1) not in payloads


def test_one_that_is_closed_takes_nothing_with_it() -> None:
    with RelayCalls() as calls:
        (one, media), (_, far) = crossed(calls, (Format.ULAW, Format.ULAW))
        far.close()
        talk(calls, one, media, range(1, 11))
        assert calls.failures == []
        media.close()
        assert calls.relay.calls_open == 0
        assert not calls.relay._routes
