"""The full frames of one call on the wire, without any call."""

import random
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from bridge.iax2.auth import Address
from bridge.iax2.channel import FrameChannel
from bridge.iax2.cipher import Opener, Sealer
from bridge.iax2.clock import TIMESTAMP_MODULUS
from bridge.iax2.constants import ControlSubclass, Format, FrameType, IaxSubclass
from bridge.iax2.errors import LocalProtocolError
from bridge.iax2.frames import FullFrame, parse_frame_untrusted
from tests.vectors.reference import reference_decrypt, reference_encrypt

KEY = bytes(range(16))
OTHER_KEY = bytes(range(16, 32))
ADDRESS: Address = ("192.0.2.9", 4569)
START = 1000.0
PEER_FRAME = FullFrame(77, 5, 0, 0, 0, FrameType.CONTROL, ControlSubclass.RINGING)


@dataclass(slots=True)
class Wire:
    """A channel and what it sent."""

    datagrams: list[bytes] = field(default_factory=list)
    channel: FrameChannel = field(init=False)

    def __post_init__(self) -> None:
        self.channel = FrameChannel(5, ADDRESS, self._transmit)
        self.channel.start(START)

    def _transmit(self, datagram: bytes, address: Address) -> None:
        assert address == ADDRESS
        self.datagrams.append(datagram)

    def clear(self, at: int = -1) -> FullFrame:
        """Return a datagram that was sent in clear."""
        return full(self.datagrams[at])

    def opened(self, at: int = -1, key: bytes = KEY) -> FullFrame:
        """Return a datagram that was sent encrypted."""
        _, body = reference_decrypt(key, self.datagrams[at][4:])
        return full(self.datagrams[at][:4] + body)

    def padding(self, at: int) -> bytes:
        """Return the padding of a datagram that was sent encrypted."""
        return reference_decrypt(KEY, self.datagrams[at][4:])[0]


def full(octets: bytes) -> FullFrame:
    frame = parse_frame_untrusted(octets)
    assert isinstance(frame, FullFrame)
    return frame


def sealed(frame: FullFrame, key: bytes = KEY) -> bytes:
    octets = frame.encode()
    extra_octets = -(len(octets) - 4) % 16
    padding = bytearray(random.Random(3).randbytes(16 + extra_octets))
    padding[15] = padding[15] & 0xF0 | extra_octets
    return octets[:4] + reference_encrypt(key, bytes(padding), octets[4:])


def encrypted_wire(key: bytes = KEY) -> Wire:
    wire = Wire()
    wire.channel.encrypt_with(Sealer(key, random.Random(1).randbytes), Opener(key), START)
    wire.channel.learn_peer(PEER_FRAME, START)
    return wire


def test_frames_are_numbered_and_stamped() -> None:
    wire = Wire()
    wire.channel.learn_peer(PEER_FRAME, START)
    for _ in range(3):
        wire.channel.send(FrameType.CNG, 0, now=START + 2)
    frames = [full(datagram) for datagram in wire.datagrams]
    assert [frame.oseqno for frame in frames] == [0, 1, 2]
    assert [frame.timestamp_ms for frame in frames] == [2000, 2001, 2002]
    assert {(f.source_call_number, f.destination_call_number) for f in frames} == {(5, 77)}
    assert wire.channel.statistics.sent_clear == 3


def test_timestamps_wrap_and_never_repeat() -> None:
    wire = Wire()
    wire.channel.start(START, TIMESTAMP_MODULUS - 2)
    for now in (START, START, START + 0.5):
        wire.channel.send(FrameType.CNG, 0, now=now)
    stamps = [full(datagram).timestamp_ms for datagram in wire.datagrams]
    assert stamps == [TIMESTAMP_MODULUS - 1, 0, 498]


def test_a_given_timestamp_is_the_frames() -> None:
    wire = Wire()
    wire.channel.send(FrameType.VOICE, Format.ULAW, bytes(160), now=START, timestamp_ms=40)
    assert wire.clear().timestamp_ms == 40


def test_a_new_start_forgets_numbers_and_time() -> None:
    wire = Wire()
    wire.channel.send(FrameType.IAX, IaxSubclass.NEW, now=START + 5)
    wire.channel.start(START + 6)
    wire.channel.send(FrameType.IAX, IaxSubclass.NEW, now=START + 6)
    assert (wire.clear().oseqno, wire.clear().timestamp_ms) == (0, 1)
    assert wire.channel.sequence.outstanding == 1


def test_an_ack_echoes_the_timestamp_and_takes_no_number() -> None:
    wire = encrypted_wire()
    wire.channel.sequence.accept()
    wire.channel.acknowledge(replace(PEER_FRAME, timestamp_ms=12_345))
    ack = wire.opened()
    assert (ack.frame_type, ack.subclass) == (FrameType.IAX, IaxSubclass.ACK)
    assert (ack.timestamp_ms, ack.oseqno, ack.iseqno) == (12_345, 0, 1)
    assert not wire.channel.sequence.acknowledgement_owed
    assert wire.channel.sequence.outstanding == 0


def test_a_vnak_takes_no_number() -> None:
    wire = encrypted_wire()
    wire.channel.send_unsequenced(IaxSubclass.VNAK, START + 1)
    assert (wire.opened().subclass, wire.opened().timestamp_ms) == (IaxSubclass.VNAK, 1000)
    assert wire.channel.sequence.outstanding == 0


def test_a_retransmission_has_the_r_bit_the_current_iseqno_and_fresh_padding() -> None:
    wire = encrypted_wire()
    wire.channel.send(FrameType.DTMF_END, ord("5"), now=START + 1)
    wire.channel.sequence.accept()
    wire.channel.sequence.accept()
    for waiting in wire.channel.sequence.due(START + 9):
        wire.channel.retransmit(waiting)
    first, again = wire.opened(0), wire.opened(1)
    assert again == replace(first, iseqno=2, retransmission=True)
    assert first.iseqno == 0
    assert not first.retransmission
    assert wire.padding(0) != wire.padding(1)
    assert wire.channel.statistics.retransmitted == 1
    assert wire.channel.statistics.sent_encrypted == 2


def test_a_retransmission_is_under_the_key_of_its_first_time() -> None:
    wire = encrypted_wire()
    wire.channel.send(FrameType.DTMF_END, ord("5"), now=START)
    wire.channel.sealer = Sealer(OTHER_KEY)
    wire.channel.send(FrameType.DTMF_END, ord("6"), now=START)
    for waiting in wire.channel.sequence.due(START + 9):
        wire.channel.retransmit(waiting)
    assert wire.opened(2, KEY).subclass == ord("5")
    assert wire.opened(3, OTHER_KEY).subclass == ord("6")


def test_what_was_sent_in_clear_is_sent_again_in_clear() -> None:
    wire = Wire()
    wire.channel.send(FrameType.IAX, IaxSubclass.NEW, now=START)
    wire.channel.encrypt_with(Sealer(KEY), Opener(KEY), START)
    for waiting in wire.channel.sequence.due(START + 9):
        wire.channel.retransmit(waiting)
    assert wire.clear() == replace(wire.clear(0), retransmission=True)


def test_frames_in_clear_are_taken_until_there_is_a_key() -> None:
    wire = Wire()
    assert wire.channel.open(PEER_FRAME.encode(), START) == PEER_FRAME
    assert wire.channel.statistics.received_clear == 1


@pytest.mark.parametrize(
    "datagram",
    [
        pytest.param(b"\x80\x4d", id="cut short"),
        pytest.param(b"\x80\x00" + bytes(10), id="source call number 0"),
        pytest.param(b"\x00\x4d" + bytes(10), id="mini frame"),
    ],
)
def test_malformed_octets_in_clear_are_counted(datagram: bytes) -> None:
    wire = Wire()
    assert wire.channel.open(datagram, START) is None
    assert wire.channel.statistics.dropped_malformed == 1


def test_encrypted_frames_are_opened() -> None:
    wire = encrypted_wire()
    assert wire.channel.open(sealed(PEER_FRAME), START) == PEER_FRAME
    assert wire.channel.statistics.received_encrypted == 1


@pytest.mark.parametrize(
    "subclass",
    [IaxSubclass.HANGUP, IaxSubclass.INVAL, IaxSubclass.REJECT, IaxSubclass.ACCEPT],
)
def test_frames_in_clear_are_not_believed_once_there_is_a_key(subclass: IaxSubclass) -> None:
    wire = encrypted_wire()
    frame = replace(PEER_FRAME, frame_type=FrameType.IAX, subclass=subclass)
    assert wire.channel.open(frame.encode(), START) is None
    assert wire.channel.statistics.dropped_clear == 1
    assert wire.channel.statistics.dropped_implausible == 0


def test_a_challenge_that_is_sent_again_in_clear_is_honest() -> None:
    wire = encrypted_wire()
    frame = replace(PEER_FRAME, frame_type=FrameType.IAX, subclass=IaxSubclass.AUTHREQ)
    assert wire.channel.open(replace(frame, retransmission=True).encode(), START) is None
    assert wire.channel.statistics.dropped_clear == 0
    assert wire.channel.statistics.dropped_implausible == 0


@pytest.mark.parametrize(
    "datagram",
    [
        pytest.param(sealed(PEER_FRAME, OTHER_KEY), id="another key"),
        pytest.param(sealed(replace(PEER_FRAME, oseqno=40)), id="too far ahead"),
        pytest.param(sealed(replace(PEER_FRAME, timestamp_ms=10_001)), id="too early"),
        pytest.param(PEER_FRAME.encode(), id="clear, and no IAX frame"),
        pytest.param(bytes((0x80, 77, 0, 5)) + bytes(31), id="no multiple of 16"),
    ],
)
def test_what_is_implausible_is_counted(datagram: bytes) -> None:
    wire = encrypted_wire()
    assert wire.channel.open(datagram, START) is None
    assert wire.channel.statistics.dropped_implausible == 1
    assert wire.channel.statistics.received_encrypted == 0


@pytest.mark.parametrize("datagram", [b"\x80\x00" + bytes(34), b"\x80"])
def test_what_is_no_frame_at_all_is_malformed(datagram: bytes) -> None:
    wire = encrypted_wire()
    assert wire.channel.open(datagram, START) is None
    assert wire.channel.statistics.dropped_malformed == 1


ENDINGS = frozenset({IaxSubclass.HANGUP})


def test_an_ending_in_clear_is_taken_where_it_is_asked_for() -> None:
    wire = Wire()
    hangup = replace(PEER_FRAME, frame_type=FrameType.IAX, subclass=IaxSubclass.HANGUP)
    assert wire.channel.open_clear(hangup.encode(), ENDINGS) == hangup
    assert wire.channel.statistics.received_clear == 1


@pytest.mark.parametrize(
    "datagram",
    [
        pytest.param(b"\x80\x4d", id="no frame"),
        pytest.param(PEER_FRAME.encode(), id="no IAX frame"),
        pytest.param(
            replace(PEER_FRAME, frame_type=FrameType.IAX, subclass=IaxSubclass.PING).encode(),
            id="another subclass",
        ),
        pytest.param(
            replace(PEER_FRAME, frame_type=FrameType.IAX, subclass=5, oseqno=99).encode(),
            id="another sequence",
        ),
    ],
)
def test_nothing_else_in_clear_is(datagram: bytes) -> None:
    wire = Wire()
    assert wire.channel.open_clear(datagram, ENDINGS) is None
    assert wire.channel.statistics.received_clear == 0


def test_no_voice_without_encryption() -> None:
    wire = Wire()
    with pytest.raises(LocalProtocolError):
        wire.channel.voice_path(Format.ULAW)


def test_voice_shares_the_channels_keys_and_time() -> None:
    wire = encrypted_wire()
    path = wire.channel.voice_path(Format.ULAW)
    assert path.route == (ADDRESS, b"\x00\x4d")
    assert path.elapsed_ms(START + 3) == 3000
    assert path.sealer is wire.channel.sealer
    assert wire.channel.keys is not None
    assert path.opener is wire.channel.keys.current


class TestThePeersTime:
    """What may move the clock that mini frames are judged by, and what may not."""

    def expected_ms(self, wire: Wire, at_s: float) -> int:
        return wire.channel.clock.expected_ms(START + at_s)

    def test_a_frame_ahead_of_its_time_proves_that_the_first_one_was_late(self) -> None:
        wire = encrypted_wire()
        wire.channel.open(sealed(replace(PEER_FRAME, timestamp_ms=4500)), START + 3)
        assert self.expected_ms(wire, 3) == 4500

    def test_a_frame_behind_its_time_corrects_little(self) -> None:
        wire = encrypted_wire()
        wire.channel.open(sealed(replace(PEER_FRAME, timestamp_ms=1400)), START + 3)
        assert self.expected_ms(wire, 3) == 2900

    def test_voice_sets_it(self) -> None:
        wire = encrypted_wire()
        voice = replace(PEER_FRAME, frame_type=FrameType.VOICE, subclass=Format.ULAW)
        wire.channel.open(sealed(replace(voice, timestamp_ms=1400)), START + 3)
        assert self.expected_ms(wire, 3) == 1400

    @pytest.mark.parametrize(
        "frame_type", [FrameType.CONTROL, FrameType.VOICE], ids=["control", "voice"]
    )
    def test_a_retransmission_does_not_move_it(self, frame_type: FrameType) -> None:
        wire = encrypted_wire()
        frame = replace(PEER_FRAME, frame_type=frame_type, subclass=4, retransmission=True)
        for _ in range(20):
            assert wire.channel.open(sealed(replace(frame, timestamp_ms=500)), START + 8)
        assert self.expected_ms(wire, 8) == 8000

    def test_a_replay_does_not_move_it(self) -> None:
        wire = encrypted_wire()
        wire.channel.sequence.accept()
        for _ in range(20):
            assert wire.channel.open(sealed(replace(PEER_FRAME, timestamp_ms=500)), START + 8)
        assert self.expected_ms(wire, 8) == 8000

    @pytest.mark.parametrize("subclass", [IaxSubclass.ACK, IaxSubclass.VNAK, IaxSubclass.PONG])
    def test_echoes_and_what_has_no_number_do_not_move_it(self, subclass: IaxSubclass) -> None:
        wire = encrypted_wire()
        wire.channel.send(FrameType.IAX, IaxSubclass.PING, now=START + 0.5)
        frame = replace(PEER_FRAME, frame_type=FrameType.IAX, subclass=subclass, iseqno=1)
        for _ in range(20):
            assert wire.channel.open(sealed(replace(frame, timestamp_ms=500)), START + 8)
        assert self.expected_ms(wire, 8) == 8000


ACK = FullFrame(77, 5, 0, 0, 1, FrameType.IAX, IaxSubclass.ACK)


def acked(frame: FullFrame, key: bytes = KEY) -> tuple[Wire, int | None]:
    """Let a frame answer the one that was sent; return how many it acknowledges, None: no ACK."""
    wire = encrypted_wire()
    wire.channel.send(FrameType.CNG, 0, now=START)
    timestamp_ms = wire.opened().timestamp_ms + frame.timestamp_ms
    taken = wire.channel.take_ack(sealed(replace(frame, timestamp_ms=timestamp_ms), key), START)
    return wire, None if taken is None else len(taken)


@pytest.mark.parametrize("retransmission", [False, True])
def test_an_ack_is_told_by_its_octets(*, retransmission: bool) -> None:
    wire, acknowledged = acked(replace(ACK, retransmission=retransmission))
    assert acknowledged == 1
    assert wire.channel.sequence.outstanding == 0
    assert wire.channel.statistics.received_encrypted == 1
    assert wire.channel.sequence.rtt_s == 0.0


def test_an_ack_that_acknowledges_nothing_is_one_too() -> None:
    assert acked(replace(ACK, iseqno=0))[1] == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"subclass": IaxSubclass.VNAK},
        {"frame_type": FrameType.CNG, "subclass": 0},
        {"data": b"12345678"},
        {"source_call_number": 1},
        {"oseqno": 100},
        {"iseqno": 120},
        {"timestamp_ms": 9},
    ],
)
def test_what_only_looks_like_an_ack_is_left_to_be_opened(changes: dict[str, Any]) -> None:
    wire, acknowledged = acked(replace(ACK, **changes))
    assert acknowledged is None
    assert wire.channel.sequence.outstanding == 1
    assert wire.channel.statistics.received_encrypted == 0


def test_an_ack_under_another_key_or_in_clear_is_left_to_be_opened() -> None:
    assert acked(ACK, OTHER_KEY)[1] is None
    wire = Wire()
    wire.channel.send(FrameType.CNG, 0, now=START)
    assert wire.channel.take_ack(ACK.encode(), START) is None


def test_what_is_left_is_opened_as_if_nothing_had_been() -> None:
    wire = encrypted_wire()
    frame = replace(PEER_FRAME, timestamp_ms=20)
    datagram = sealed(frame)
    for _ in range(3):
        assert wire.channel.take_ack(datagram, START) is None
        assert wire.channel.open(datagram, START) == frame
