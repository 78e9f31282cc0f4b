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
    TextReceived,
    VoiceReceived,
)
from bridge.iax2.keys import KeyOrigin, KeyUse
from bridge.iax2.peers import PeerEvent
from bridge.iax2.qualify import Qualification, Qualifier, Reachability, ReachabilityChanged
from bridge.iax2.registrar import (
    Binding,
    Registrant,
    RegistrantMoved,
    RegistrantRefused,
    RegistrantSeen,
)
from bridge.iax2.registration import (
    Registered,
    Registration,
    RegistrationChanged,
    RegistrationProfile,
    RegistrationSeen,
)
from bridge.iax2.rotation import CallKeys
from bridge.iax2.services import FrameWatch
from bridge.iax2.voice import VoicePath

__all__ = [
    "Acknowledged",
    "Address",
    "Binding",
    "Call",
    "CallAccepted",
    "CallAnswered",
    "CallEnded",
    "CallKeys",
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
    "FrameWatch",
    "Iax2Error",
    "IncomingCall",
    "KeyOrigin",
    "KeyUse",
    "LocalProtocolError",
    "PeerEvent",
    "Qualification",
    "Qualifier",
    "Reachability",
    "ReachabilityChanged",
    "Registered",
    "Registrant",
    "RegistrantMoved",
    "RegistrantRefused",
    "RegistrantSeen",
    "Registration",
    "RegistrationChanged",
    "RegistrationProfile",
    "RegistrationSeen",
    "RemoteProtocolError",
    "TextReceived",
    "Transmit",
    "User",
    "VoicePath",
    "VoiceReceived",
]
