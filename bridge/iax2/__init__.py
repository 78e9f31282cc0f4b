"""A sans-I/O IAX2 endpoint: standard library and cryptography only.

Every call is encrypted (AES-128) in both directions, or it ends with a reason. Make an
`Endpoint`, feed it datagrams and the time, and drain what it wants to send and tell.

Source: RFC 5456, and Asterisk's chan_iax2 where the wire differs.
"""

from bridge.iax2.auth import Address, ChallengeMemory
from bridge.iax2.call import Call
from bridge.iax2.callee import CalleeCall, User
from bridge.iax2.caller import CallProfile
from bridge.iax2.constants import Cause, ControlSubclass, Format
from bridge.iax2.endpoint import Endpoint, Transmit
from bridge.iax2.errors import FrameError, Iax2Error, LocalProtocolError, RemoteProtocolError
from bridge.iax2.events import (
    Acknowledged,
    CallAccepted,
    CallAnswered,
    CallEnded,
    ControlReceived,
    DigitReceived,
    EndReason,
    Event,
    IncomingCall,
    VoiceReceived,
)
from bridge.iax2.voice import VoicePath

__all__ = [
    "Acknowledged",
    "Address",
    "Call",
    "CallAccepted",
    "CallAnswered",
    "CallEnded",
    "CallProfile",
    "CalleeCall",
    "Cause",
    "ChallengeMemory",
    "ControlReceived",
    "ControlSubclass",
    "DigitReceived",
    "EndReason",
    "Endpoint",
    "Event",
    "Format",
    "FrameError",
    "Iax2Error",
    "IncomingCall",
    "LocalProtocolError",
    "RemoteProtocolError",
    "Transmit",
    "User",
    "VoicePath",
    "VoiceReceived",
]
