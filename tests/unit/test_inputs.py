"""Which input of the state table a frame is."""

import pytest

from bridge.iax2.constants import ControlSubclass, FrameType, IaxSubclass
from bridge.iax2.frames import FullFrame
from bridge.iax2.inputs import UNSEQUENCED, input_of, is_unsequenced
from bridge.iax2.states import Input

OF_THE_HANDSHAKE = {
    IaxSubclass.NEW: Input.RECEIVE_NEW,
    IaxSubclass.CALLTOKEN: Input.RECEIVE_CALLTOKEN,
    IaxSubclass.AUTHREQ: Input.RECEIVE_AUTHREQ,
    IaxSubclass.AUTHREP: Input.RECEIVE_AUTHREP,
    IaxSubclass.ACCEPT: Input.RECEIVE_ACCEPT,
    IaxSubclass.REJECT: Input.RECEIVE_REJECT,
    IaxSubclass.HANGUP: Input.RECEIVE_HANGUP,
    IaxSubclass.INVAL: Input.RECEIVE_HANGUP,
    IaxSubclass.RTKEY: Input.RECEIVE_RTKEY,
}


def frame(frame_type: int, subclass: int) -> FullFrame:
    return FullFrame(77, 5, 0, 0, 0, frame_type, subclass)


@pytest.mark.parametrize("subclass", [*IaxSubclass, 0, 31, 99])
def test_iax_frames(subclass: int) -> None:
    expected = OF_THE_HANDSHAKE.get(IaxSubclass(subclass)) if subclass in set(IaxSubclass) else None
    assert input_of(frame(FrameType.IAX, subclass)) is (expected or Input.RECEIVE_QUERY)


@pytest.mark.parametrize("subclass", [*ControlSubclass, 63])
def test_control_frames(subclass: int) -> None:
    answered = subclass == ControlSubclass.ANSWER
    expected = Input.RECEIVE_ANSWER if answered else Input.RECEIVE_SIGNAL
    assert input_of(frame(FrameType.CONTROL, subclass)) is expected


@pytest.mark.parametrize("frame_type", set(FrameType) - {FrameType.IAX, FrameType.CONTROL})
def test_all_else_is_a_signal(frame_type: FrameType) -> None:
    assert input_of(frame(frame_type, ControlSubclass.ANSWER)) is Input.RECEIVE_SIGNAL


def test_what_stands_outside_the_sequence() -> None:
    names = {subclass.name for subclass in UNSEQUENCED}
    assert names == {"ACK", "VNAK", "INVAL", "CALLTOKEN"}
    for subclass in IaxSubclass:
        assert is_unsequenced(frame(FrameType.IAX, subclass)) == (subclass in UNSEQUENCED)
        assert not is_unsequenced(frame(FrameType.CONTROL, subclass))
