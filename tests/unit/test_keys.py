"""Which of the keys that a peer may be using a frame is read with."""

import random
from dataclasses import replace

import pytest

from bridge.iax2.cipher import Opener
from bridge.iax2.constants import FrameType
from bridge.iax2.frames import FullFrame
from bridge.iax2.keys import (
    KeyOrigin,
    KeyUse,
    ReceiveKeys,
    open_full_untrusted,
    written_over_untrusted,
)
from tests.vectors.reference import reference_encrypt

OLD, NEW, NEWER, FOREIGN = (bytes([number]) * 16 for number in (1, 2, 3, 4))
FRAME = FullFrame(77, 5, 400, 3, 2, FrameType.DTMF_END, ord("5"))


def sealed(key: bytes, octets: bytes = FRAME.encode()) -> bytes:
    extra_octets = -(len(octets) - 4) % 16
    padding = bytearray(random.Random(1).randbytes(16 + extra_octets))
    padding[15] = padding[15] & 0xF0 | extra_octets
    return octets[:4] + reference_encrypt(key, bytes(padding), octets[4:])


def judge(frame: FullFrame) -> bool:
    return frame == FRAME


def test_one_key() -> None:
    keys = ReceiveKeys(Opener(OLD), 1.0)
    assert keys.open(sealed(OLD), judge, 2.0) == FRAME
    assert keys.open(sealed(NEW), judge, 2.0) is None
    assert keys.open(sealed(OLD), judge, 2.0) == FRAME


def test_an_announced_key_is_current_once_a_frame_proves_it() -> None:
    keys = ReceiveKeys(Opener(OLD), 1.0)
    old = keys.current
    keys.announce(NEW)
    assert keys.open(sealed(OLD), judge, 2.0) == FRAME
    assert keys.open(sealed(FOREIGN), judge, 2.0) is None
    assert keys.current is old
    assert keys.open(sealed(NEW), judge, 2.0) == FRAME
    assert keys.current is not old


def test_frames_under_the_key_before_are_still_read() -> None:
    keys = ReceiveKeys(Opener(OLD), 1.0)
    keys.announce(NEW)
    keys.open(sealed(NEW), judge, 2.0)
    current = keys.current
    for _ in range(3):
        assert keys.open(sealed(OLD), judge, 2.0) == FRAME
        assert keys.open(sealed(NEW), judge, 2.0) == FRAME
    assert keys.current is current


def test_the_key_before_the_last_is_gone() -> None:
    keys = ReceiveKeys(Opener(OLD), 1.0)
    for key in (NEW, NEWER):
        keys.announce(key)
        assert keys.open(sealed(key), judge, 2.0) == FRAME
    assert keys.open(sealed(NEW), judge, 2.0) == FRAME
    assert keys.open(sealed(OLD), judge, 2.0) is None


def test_of_two_announced_keys_the_peer_may_have_used_both() -> None:
    keys = ReceiveKeys(Opener(OLD), 1.0)
    keys.announce(NEW)
    keys.announce(NEWER)
    for key in (NEW, OLD, NEWER, NEW, NEWER):
        assert keys.open(sealed(key), judge, 2.0) == FRAME


def test_one_that_was_passed_over_is_still_read() -> None:
    keys = ReceiveKeys(Opener(OLD), 1.0)
    keys.announce(NEW)
    keys.announce(NEWER)
    for key in (NEWER, NEW, OLD, NEWER):
        assert keys.open(sealed(key), judge, 2.0) == FRAME


def test_no_more_than_two_are_kept_that_no_frame_proved() -> None:
    keys = ReceiveKeys(Opener(OLD), 1.0)
    for key in (NEW, NEWER, FOREIGN):
        keys.announce(key)
    assert len(keys.announced) == 2
    assert keys.open(sealed(NEW), judge, 2.0) is None
    for key in (NEWER, FOREIGN):
        assert keys.open(sealed(key), judge, 2.0) == FRAME


def test_whence_the_current_key_is_and_since_when() -> None:
    keys = ReceiveKeys(Opener(OLD), 1.0)
    keys.announce(NEW)
    keys.open(sealed(OLD), judge, 2.0)
    assert keys.use == KeyUse(KeyOrigin.HANDSHAKE, 1.0)
    keys.open(sealed(NEW), judge, 3.0)
    keys.open(sealed(NEW), judge, 4.0)
    assert keys.use == KeyUse(KeyOrigin.PEER, 3.0)


@pytest.mark.parametrize(
    "datagram",
    [
        pytest.param(FRAME.encode(), id="too short to be encrypted"),
        pytest.param(sealed(OLD, FRAME.encode()[:11]), id="shorter than a header inside"),
        pytest.param(sealed(OLD, b"\x80\x00" + FRAME.encode()[2:]), id="source call number 0"),
        pytest.param(sealed(OLD, b"\x00\x4d" + FRAME.encode()[2:]), id="a mini frame"),
    ],
)
def test_what_is_no_full_frame(datagram: bytes) -> None:
    assert open_full_untrusted(Opener(OLD), datagram) is None


def test_a_full_frame_is_read() -> None:
    voice = replace(FRAME, frame_type=FrameType.VOICE, subclass=4, data=bytes(160))
    assert open_full_untrusted(Opener(OLD), sealed(OLD, voice.encode())) == voice


class TestRetransmissionWrittenOver:
    """As an Asterisk that calls with RSA sends it: iseqno stands in the encrypted octets."""

    @pytest.mark.parametrize(
        "frame",
        [
            replace(FRAME, retransmission=True),
            FullFrame(77, 5, 400, 3, 2, FrameType.VOICE, 4, bytes(range(160)), retransmission=True),
            FullFrame(77, 5, 400, 3, 2, FrameType.IAX, 39, bytes(18), retransmission=True),
            FullFrame(77, 5, 400, 3, 2, FrameType.CONTROL, 4, retransmission=True),
            FullFrame(
                77, 5, 400, 3, 2, FrameType.CONTROL, 22, b"whose number", retransmission=True
            ),
        ],
    )
    @pytest.mark.parametrize("iseqno", [0, 2, 77, 255])
    def test_it_is_read_all_the_same(self, frame: FullFrame, iseqno: int) -> None:
        keys = ReceiveKeys(Opener(OLD), 1.0)
        keys.announce(NEW)
        for key in (OLD, NEW):
            octets = bytearray(sealed(key, frame.encode()))
            octets[9] = iseqno
            assert keys.open(bytes(octets), frame.__eq__, 2.0) == frame
        assert keys.use.origin is KeyOrigin.PEER

    @pytest.mark.parametrize(
        "frame",
        [
            FullFrame(77, 5, 400, 3, 2, FrameType.IAX, 39, b"no element", retransmission=True),
            FullFrame(77, 5, 400, 3, 2, FrameType.CNG, 0, b"no such data", retransmission=True),
            FullFrame(77, 5, 400, 3, 2, FrameType.VOICE, 4, retransmission=True),
            FullFrame(77, 5, 400, 3, 2, 99, 4, retransmission=True),
        ],
    )
    def test_what_cannot_be_whole_is_no_reading(self, frame: FullFrame) -> None:
        octets = bytearray(sealed(OLD, frame.encode()))
        octets[9] ^= 1
        assert frame not in list(written_over_untrusted(Opener(OLD), bytes(octets)))

    def test_nothing_else_is_read_so(self) -> None:
        keys = ReceiveKeys(Opener(OLD), 1.0)
        first = bytearray(sealed(OLD))
        first[9] ^= 1
        assert keys.open(bytes(first), judge, 2.0) is None
        again = replace(FRAME, retransmission=True)
        foreign = bytearray(sealed(FOREIGN, again.encode()))
        foreign[9] ^= 1
        assert keys.open(bytes(foreign), again.__eq__, 2.0) is None
        assert keys.open(bytes(first[:2]) + b"\x80\x05" + bytes(21), again.__eq__, 2.0) is None
        assert keys.open(sealed(OLD), judge, 2.0) == FRAME
