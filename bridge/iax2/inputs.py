"""Which input of the state table a received frame is."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from bridge.iax2.constants import ControlSubclass, FrameType, IaxSubclass
from bridge.iax2.frames import FullFrame
from bridge.iax2.states import Input

_IAX_INPUTS: Final[Mapping[int, Input]] = MappingProxyType(
    {
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
)

UNSEQUENCED: Final = frozenset(
    {IaxSubclass.ACK, IaxSubclass.VNAK, IaxSubclass.INVAL, IaxSubclass.CALLTOKEN}
)
"""IAX subclasses that take no sequence number and are never acknowledged."""


def input_of(frame: FullFrame) -> Input:
    """Return the input for a frame; what only asks or tells is RECEIVE_QUERY or _SIGNAL."""
    if frame.frame_type == FrameType.IAX:
        return _IAX_INPUTS.get(frame.subclass, Input.RECEIVE_QUERY)
    if frame.frame_type == FrameType.CONTROL and frame.subclass == ControlSubclass.ANSWER:
        return Input.RECEIVE_ANSWER
    return Input.RECEIVE_SIGNAL


def is_unsequenced(frame: FullFrame) -> bool:
    """Tell whether the frame stands outside the sequence."""
    return frame.frame_type == FrameType.IAX and frame.subclass in UNSEQUENCED
