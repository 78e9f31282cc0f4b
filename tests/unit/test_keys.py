"""Which of the keys that a peer may be using a frame is read with."""

import random
from dataclasses import replace

import pytest

from bridge.iax2.cipher import Opener
from bridge.iax2.constants import FrameType
from bridge.iax2.frames import FullFrame
from bridge.iax2.keys import ReceiveKeys, open_full_untrusted
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
    keys = ReceiveKeys(Opener(OLD))
    assert keys.open(sealed(OLD), judge) == FRAME
    assert keys.open(sealed(NEW), judge) is None
    assert keys.open(sealed(OLD), judge) == FRAME


def test_an_announced_key_is_current_once_a_frame_proves_it() -> None:
    keys = ReceiveKeys(Opener(OLD))
    old = keys.current
    keys.announce(NEW)
    assert keys.open(sealed(OLD), judge) == FRAME
    assert keys.open(sealed(FOREIGN), judge) is None
    assert keys.current is old
    assert keys.open(sealed(NEW), judge) == FRAME
    assert keys.current is not old


def test_frames_under_the_key_before_are_still_read() -> None:
    keys = ReceiveKeys(Opener(OLD))
    keys.announce(NEW)
    keys.open(sealed(NEW), judge)
    current = keys.current
    for _ in range(3):
        assert keys.open(sealed(OLD), judge) == FRAME
        assert keys.open(sealed(NEW), judge) == FRAME
    assert keys.current is current


def test_the_key_before_the_last_is_gone() -> None:
    keys = ReceiveKeys(Opener(OLD))
    for key in (NEW, NEWER):
        keys.announce(key)
        assert keys.open(sealed(key), judge) == FRAME
    assert keys.open(sealed(NEW), judge) == FRAME
    assert keys.open(sealed(OLD), judge) is None


def test_a_key_that_was_never_used_gives_way_to_the_next() -> None:
    keys = ReceiveKeys(Opener(OLD))
    keys.announce(NEW)
    keys.announce(NEWER)
    assert keys.open(sealed(NEW), judge) is None
    assert keys.open(sealed(NEWER), judge) == FRAME
    assert keys.open(sealed(OLD), judge) == FRAME


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
