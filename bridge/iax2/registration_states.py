"""The states of a registration's exchange of frames, on both sides: two tables, and nothing else.

    registrant   REQUESTED -> PROVEN -> OVER
    registrar    CHALLENGED -> GRANTED or REFUSED -> OVER

A pair that is not in its table is illegal: the frame is dropped. A release (REGREL) goes the same
way as a request (REGREQ). Between its exchanges a registrant waits for its refresh or its next try.

Source: RFC 5456 section 6.1.
"""

from collections.abc import Mapping
from enum import Enum, auto
from types import MappingProxyType
from typing import Final


class RegistrationState(Enum):
    """Where an exchange stands."""

    REQUESTED = auto()
    PROVEN = auto()
    CHALLENGED = auto()
    GRANTED = auto()
    REFUSED = auto()
    OVER = auto()


class RegistrationInput(Enum):
    """What can happen to an exchange: a frame, its proof judged, or time."""

    RECEIVE_CALLTOKEN = auto()
    RECEIVE_REGAUTH = auto()
    RECEIVE_REGACK = auto()
    RECEIVE_REGREJ = auto()
    RECEIVE_PROOF = auto()
    RECEIVE_WRONG_PROOF = auto()
    RECEIVE_FINAL_ACK = auto()
    GIVE_UP = auto()


_State, _Input = RegistrationState, RegistrationInput
Transitions = Mapping[tuple[RegistrationState, RegistrationInput], RegistrationState]

REGISTRANT_TRANSITIONS: Final[Transitions] = MappingProxyType(
    {
        (_State.REQUESTED, _Input.RECEIVE_CALLTOKEN): _State.REQUESTED,
        (_State.REQUESTED, _Input.RECEIVE_REGAUTH): _State.PROVEN,
        # A registrar that asks for no proof believes anybody: its own loss.
        (_State.REQUESTED, _Input.RECEIVE_REGACK): _State.OVER,
        (_State.REQUESTED, _Input.RECEIVE_REGREJ): _State.OVER,
        (_State.REQUESTED, _Input.GIVE_UP): _State.OVER,
        (_State.PROVEN, _Input.RECEIVE_REGACK): _State.OVER,
        (_State.PROVEN, _Input.RECEIVE_REGREJ): _State.OVER,
        (_State.PROVEN, _Input.GIVE_UP): _State.OVER,
    }
)
"""Of the side that registers."""

REGISTRAR_TRANSITIONS: Final[Transitions] = MappingProxyType(
    {
        (_State.CHALLENGED, _Input.RECEIVE_PROOF): _State.GRANTED,
        (_State.CHALLENGED, _Input.RECEIVE_WRONG_PROOF): _State.REFUSED,
        (_State.CHALLENGED, _Input.GIVE_UP): _State.OVER,
        (_State.GRANTED, _Input.RECEIVE_FINAL_ACK): _State.OVER,
        (_State.GRANTED, _Input.GIVE_UP): _State.OVER,
        # Not over with its ACK: who guesses must not get a new exchange for each guess.
        (_State.REFUSED, _Input.GIVE_UP): _State.OVER,
    }
)
"""Of the side that is registered with."""
