"""Whether a decrypted full frame can be what a peer sent: the only integrity that IAX2 leaves us.

There is no MAC, and nearly any garbage decrypts. A frame is believed when type and subclass are
known, its sequence numbers fit the call, and its timestamp is near its time. What fails is
dropped and counted, never a reason to end a call.

Source: ours; Asterisk hangs up on garbage (its issue 14607).
"""

from typing import Final

from bridge.iax2.clock import ReceiveClock
from bridge.iax2.constants import DTMF_DIGITS, Format, FrameType, IaxSubclass
from bridge.iax2.frames import FullFrame
from bridge.iax2.reliability import Order, ReliableSequence

ECHOES: Final = frozenset({IaxSubclass.ACK, IaxSubclass.PONG, IaxSubclass.LAGRP})
"""IAX subclasses whose timestamp repeats one of ours."""

_TIMESTAMP_MAX_MS: Final = 10_000
_RETRANSMISSION_MAX_MS: Final = 60_000
_CONTROL_SUBCLASSES: Final = range(-1, 64)
_IAX_SUBCLASSES: Final = frozenset(IaxSubclass)
_IAX_COMMANDS: Final = range(1, 128)
_FRAME_TYPES: Final = frozenset(FrameType)
_DIGITS: Final = frozenset(map(ord, DTMF_DIGITS))
_DIGIT_TYPES: Final = (FrameType.DTMF_END, FrameType.DTMF_BEGIN)
_FORMATS: Final = frozenset(Format)


def is_plausible(
    frame: FullFrame,
    sequence: ReliableSequence,
    clock: ReceiveClock,
    now: float,
) -> bool:
    """Judge one full frame of an encrypted call."""
    return (
        (is_known(frame) or _is_command_in_turn(frame, sequence))
        and sequence.has_plausible_numbers(frame.oseqno, frame.iseqno)
        and (
            sequence.has_sent(frame.timestamp_ms)
            if is_echo(frame)
            else _is_timely(frame, clock, now)
        )
    )


def is_echo(frame: FullFrame) -> bool:
    """Tell whether the frame's timestamp repeats one of ours."""
    return frame.frame_type == FrameType.IAX and frame.subclass in ECHOES


def is_known(frame: FullFrame) -> bool:
    """Tell whether type and subclass are ones that peers send."""
    match frame.frame_type:
        case FrameType.IAX:
            return frame.subclass in _IAX_SUBCLASSES
        case FrameType.VOICE:
            return frame.subclass in _FORMATS
        case FrameType.CONTROL:
            return frame.subclass in _CONTROL_SUBCLASSES
        case digit_type if digit_type in _DIGIT_TYPES:
            return frame.subclass in _DIGITS
        case other:
            return other in _FRAME_TYPES


def _is_command_in_turn(frame: FullFrame, sequence: ReliableSequence) -> bool:
    """Tell whether it can be an IAX command that we do not know, to be answered with UNSUPPORT.

    It has to be the very frame that is expected next: then chance makes it no likelier than
    one that we know and that may overtake others.
    """
    return (
        frame.frame_type == FrameType.IAX
        and frame.subclass in _IAX_COMMANDS
        and sequence.order_of(frame.oseqno) is Order.EXPECTED
    )


def _is_timely(frame: FullFrame, clock: ReceiveClock, now: float) -> bool:
    behind_max_ms = _RETRANSMISSION_MAX_MS if frame.retransmission else _TIMESTAMP_MAX_MS
    return -behind_max_ms <= clock.deviation_ms(frame.timestamp_ms, now) <= _TIMESTAMP_MAX_MS
