"""How far a phone's bridged call has come.

    SETTING_UP -> DIALING -> AWAITING -> TALKING -> OVER
                     |          |           |
                     +----------+-----------+-> LEAVING -> OVER

AWAITING: the peer is a bridge and the phone is to be told what the far phone does. In all other
calls the phone is answered when the number is through, or before.

LEAVING: the phone's leg is over. On the link a burst that has begun is completed, the tail passes
where the link wants one, and silence flows until the HANGUP.
"""

from enum import Enum, auto


class Phase(Enum):
    """The phases, in their order."""

    SETTING_UP = auto()
    DIALING = auto()
    AWAITING = auto()
    TALKING = auto()
    LEAVING = auto()
    OVER = auto()
