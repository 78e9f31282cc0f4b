"""What the engine tells its driver: one frozen object for each thing that happened to a call."""

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from bridge.iax2.constants import Format

if TYPE_CHECKING:
    from bridge.iax2.call import Call


class EndReason(Enum):
    """Why a call is over; the value says it in words."""

    LOCAL = "ended by this side"
    HANGUP = "the peer hung up"
    REJECTED = "the peer rejected the call"
    NO_RESPONSE = "the peer does not answer"
    RESTARTED = "the peer has started anew and uses this call's number for another call"
    SECRETS_DIFFER = "the peer cannot decrypt: secrets differ?"
    UNKNOWN_USER = "the caller names a user that is not known here"
    DOWNGRADE = "the peer offers no encryption, or no such auth (does it know this username?)"
    REPLAYED_CHALLENGE = "the peer repeated a challenge"
    REFLECTED_CHALLENGE = "the peer sent a challenge of ours back"
    LOST_CHALLENGE = "the peer acknowledged the call, but its challenge never came"
    PROTOCOL_ERROR = "the peer broke the protocol"


@dataclass(frozen=True, slots=True)
class CallEvent:
    """Base of all events."""

    call: "Call"


@dataclass(frozen=True, slots=True)
class IncomingCall(CallEvent):
    """A peer proved its secret and calls: accept or reject it.

    `formats` are the peer's, in its order of preference.
    """

    username: str
    called_number: str = field(repr=False)
    formats: tuple[Format, ...]


@dataclass(frozen=True, slots=True)
class CallAccepted(CallEvent):
    """The peer accepted; `call.voice` exists and everything is encrypted."""

    format: Format


@dataclass(frozen=True, slots=True)
class CallAnswered(CallEvent):
    """CONTROL ANSWER came; it may come again (a bridge reports the far end's answer so)."""


@dataclass(frozen=True, slots=True)
class ControlReceived(CallEvent):
    """Any other CONTROL frame; `subclass` may be one that ControlSubclass does not name."""

    subclass: int


@dataclass(frozen=True, slots=True)
class DigitReceived(CallEvent):
    """The end of one DTMF digit."""

    digit: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class TextReceived(CallEvent):
    """A TEXT frame, without the NUL that may end it."""

    text: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class VoiceReceived(CallEvent):
    """Voice that did not come through the fast path; `timestamp_ms` counts 32 bits."""

    payload: bytes = field(repr=False)
    timestamp_ms: int


@dataclass(frozen=True, slots=True)
class Acknowledged(CallEvent):
    """A frame that was sent with a tag has arrived at the peer."""

    tag: object


@dataclass(frozen=True, slots=True)
class CallEnded(CallEvent):
    """The call is over; told exactly once. `cause` is the peer's CAUSECODE where it gave one."""

    reason: EndReason
    cause: int | None = None


Event = (
    IncomingCall
    | CallAccepted
    | CallAnswered
    | ControlReceived
    | DigitReceived
    | TextReceived
    | VoiceReceived
    | Acknowledged
    | CallEnded
)
