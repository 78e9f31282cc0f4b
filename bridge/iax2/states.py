"""The states of a call leg and the inputs that move it: a table, and nothing but the table.

    caller   INITIAL -> NEW_SENT -> AUTHREP_SENT -> LINKED -> UP
    callee   INITIAL -> AUTHREQ_SENT -> AUTHENTICATED -> LINKED -> UP
    both     ... -> HANGUP_SENT -> ENDED
    caller   NEW_SENT -> GIVEN_UP -> HANGUP_SENT, by the challenge if that still comes

From AUTHREP_SENT (caller) and AUTHENTICATED (callee) on every frame is encrypted. A pair that is
not in the table is illegal: a frame is dropped and counted, a command raises.

Source: RFC 5456 section 6.2, with its Linked and Up states.
"""

from collections.abc import Mapping
from enum import Enum, auto
from types import MappingProxyType
from typing import Final


class State(Enum):
    """Where a call leg stands."""

    __hash__ = object.__hash__  # looked up with every frame, and Enum's own is a call into Python

    INITIAL = auto()
    NEW_SENT = auto()
    GIVEN_UP = auto()
    AUTHREP_SENT = auto()
    AUTHREQ_SENT = auto()
    AUTHENTICATED = auto()
    LINKED = auto()
    UP = auto()
    HANGUP_SENT = auto()
    ENDED = auto()


class Input(Enum):
    """What can happen to a call leg: a frame received, a command, or time."""

    __hash__ = object.__hash__

    RECEIVE_NEW = auto()
    RECEIVE_CALLTOKEN = auto()
    RECEIVE_AUTHREQ = auto()
    RECEIVE_AUTHREP = auto()
    RECEIVE_ACCEPT = auto()
    RECEIVE_ANSWER = auto()
    RECEIVE_REJECT = auto()
    RECEIVE_HANGUP = auto()
    RECEIVE_SIGNAL = auto()
    RECEIVE_RTKEY = auto()
    RECEIVE_QUERY = auto()
    RECEIVE_FINAL_ACK = auto()
    PLACE = auto()
    ACCEPT = auto()
    ANSWER = auto()
    REJECT = auto()
    HANG_UP = auto()
    SEND_SIGNAL = auto()
    GIVE_UP = auto()


_LIVE: Final = (
    State.NEW_SENT,
    State.AUTHREP_SENT,
    State.AUTHREQ_SENT,
    State.AUTHENTICATED,
    State.LINKED,
    State.UP,
)
OVER: Final = (State.GIVEN_UP, State.ENDED)
"""States of a call that only lingers, to answer what still comes."""
HANDSHAKE: Final = (State.NEW_SENT, State.AUTHREP_SENT, State.AUTHREQ_SENT)
"""States that a timer of their own brings to an end."""
_ENCRYPTED: Final = (State.AUTHREP_SENT, State.AUTHENTICATED, State.LINKED, State.UP)
_TALKING: Final = (State.LINKED, State.UP)

TRANSITIONS: Final[Mapping[tuple[State, Input], State]] = MappingProxyType(
    {
        (State.INITIAL, Input.PLACE): State.NEW_SENT,
        (State.NEW_SENT, Input.RECEIVE_CALLTOKEN): State.NEW_SENT,
        (State.NEW_SENT, Input.RECEIVE_AUTHREQ): State.AUTHREP_SENT,
        # In clear, from a peer that asks for no proof: a downgrade.
        (State.NEW_SENT, Input.RECEIVE_ACCEPT): State.HANGUP_SENT,
        (State.AUTHREP_SENT, Input.RECEIVE_ACCEPT): State.LINKED,
        (State.LINKED, Input.RECEIVE_ANSWER): State.UP,
        (State.UP, Input.RECEIVE_ANSWER): State.UP,
        (State.INITIAL, Input.RECEIVE_NEW): State.AUTHREQ_SENT,
        (State.AUTHREQ_SENT, Input.RECEIVE_AUTHREP): State.AUTHENTICATED,
        (State.AUTHENTICATED, Input.ACCEPT): State.LINKED,
        (State.AUTHENTICATED, Input.REJECT): State.HANGUP_SENT,
        (State.LINKED, Input.ANSWER): State.UP,
        (State.UP, Input.ANSWER): State.UP,
        (State.HANGUP_SENT, Input.RECEIVE_FINAL_ACK): State.ENDED,
        (State.HANGUP_SENT, Input.RECEIVE_HANGUP): State.ENDED,
        (State.HANGUP_SENT, Input.RECEIVE_REJECT): State.ENDED,
        (State.HANGUP_SENT, Input.GIVE_UP): State.ENDED,
        (State.HANGUP_SENT, Input.RECEIVE_QUERY): State.HANGUP_SENT,
        **{(state, Input.HANG_UP): State.HANGUP_SENT for state in _LIVE},
        **{(state, Input.GIVE_UP): State.ENDED for state in _LIVE},
        # Over for us, but the peer may be about to challenge a call that it still sets up.
        (State.NEW_SENT, Input.GIVE_UP): State.GIVEN_UP,
        (State.GIVEN_UP, Input.RECEIVE_AUTHREQ): State.HANGUP_SENT,
        **{(state, Input.RECEIVE_HANGUP): State.ENDED for state in _LIVE},
        **{(state, Input.RECEIVE_REJECT): State.ENDED for state in _LIVE},
        **{(state, Input.RECEIVE_RTKEY): state for state in _ENCRYPTED},
        **{(state, Input.RECEIVE_QUERY): state for state in _ENCRYPTED},
        **{(state, Input.RECEIVE_SIGNAL): state for state in _TALKING},
        **{(state, Input.SEND_SIGNAL): state for state in _TALKING},
    }
)
