"""Numbers of the wire: frame types, subclasses, elements, formats, causes and limits.

Source: RFC 5456 section 8, and Asterisk's chan_iax2 where it speaks more than the RFC.
"""

from enum import IntEnum, IntFlag
from typing import Final

DEFAULT_PORT: Final = 4569
PROTOCOL_VERSION: Final = 2

CALL_NUMBER_NONE: Final = 0
"""Destination of a frame that starts a dialog; invalid as a source."""
CALL_NUMBER_STATELESS: Final = 1
"""Source of replies that keep no call state: CALLTOKEN, PONG, INVAL."""
CALL_NUMBER_MAX: Final = 0x7FFF


class FrameType(IntEnum):
    """Type of a full frame (RFC 5456 section 8.2); DTMF_BEGIN is Asterisk's."""

    DTMF_END = 1
    VOICE = 2
    VIDEO = 3
    CONTROL = 4
    NULL = 5
    IAX = 6
    TEXT = 7
    IMAGE = 8
    HTML = 9
    CNG = 10
    DTMF_BEGIN = 12


class IaxSubclass(IntEnum):
    """Subclass of a frame of type IAX (RFC 5456 section 8.4)."""

    NEW = 1
    PING = 2
    PONG = 3
    ACK = 4
    HANGUP = 5
    REJECT = 6
    ACCEPT = 7
    AUTHREQ = 8
    AUTHREP = 9
    INVAL = 10
    LAGRQ = 11
    LAGRP = 12
    REGREQ = 13
    REGAUTH = 14
    REGACK = 15
    REGREJ = 16
    REGREL = 17
    VNAK = 18
    DPREQ = 19
    DPREP = 20
    DIAL = 21
    TXREQ = 22
    TXCNT = 23
    TXACC = 24
    TXREADY = 25
    TXREL = 26
    TXREJ = 27
    QUELCH = 28
    UNQUELCH = 29
    POKE = 30
    MWI = 32
    UNSUPPORT = 33
    TRANSFER = 34
    PROVISION = 35
    FWDOWNL = 36
    FWDATA = 37
    TXMEDIA = 38
    RTKEY = 39
    CALLTOKEN = 40


class ControlSubclass(IntEnum):
    """Subclass of a frame of type CONTROL (RFC 5456 section 8.3; STOP_TONES is Asterisk's -1)."""

    HANGUP = 1
    RING = 2
    RINGING = 3
    ANSWER = 4
    BUSY = 5
    CONGESTION = 8
    FLASH = 9
    OPTION = 11
    KEY_RADIO = 12
    UNKEY_RADIO = 13
    PROGRESS = 14
    PROCEEDING = 15
    HOLD = 16
    UNHOLD = 17
    SOURCE_UPDATE = 20
    CONNECTED_LINE = 22
    STOP_TONES = -1


class ElementType(IntEnum):
    """Type of an information element (RFC 5456 section 8.6; 54-57 are Asterisk's)."""

    CALLED_NUMBER = 1
    CALLING_NUMBER = 2
    CALLING_ANI = 3
    CALLING_NAME = 4
    CALLED_CONTEXT = 5
    USERNAME = 6
    PASSWORD = 7
    CAPABILITY = 8
    FORMAT = 9
    LANGUAGE = 10
    VERSION = 11
    ADSICPE = 12
    DNID = 13
    AUTHMETHODS = 14
    CHALLENGE = 15
    MD5_RESULT = 16
    RSA_RESULT = 17
    APPARENT_ADDR = 18
    REFRESH = 19
    DPSTATUS = 20
    CALLNO = 21
    CAUSE = 22
    IAX_UNKNOWN = 23
    MSGCOUNT = 24
    AUTOANSWER = 25
    MUSICONHOLD = 26
    TRANSFERID = 27
    RDNIS = 28
    PROVISIONING = 29
    AESPROVISIONING = 30
    DATETIME = 31
    DEVICETYPE = 32
    SERVICEIDENT = 33
    FIRMWAREVER = 34
    FWBLOCKDESC = 35
    FWBLOCKDATA = 36
    PROVVER = 37
    CALLINGPRES = 38
    CALLINGTON = 39
    CALLINGTNS = 40
    SAMPLINGRATE = 41
    CAUSECODE = 42
    ENCRYPTION = 43
    ENCKEY = 44
    CODEC_PREFS = 45
    RR_JITTER = 46
    RR_LOSS = 47
    RR_PKTS = 48
    RR_DELAY = 49
    RR_DROPPED = 50
    RR_OOO = 51
    VARIABLE = 52
    OSPTOKEN = 53
    CALLTOKEN = 54
    CAPABILITY2 = 55
    FORMAT2 = 56
    CALLINGANI2 = 57


class Format(IntFlag):
    """Media formats (RFC 5456 section 8.7)."""

    G723_1 = 0x1
    GSM = 0x2
    ULAW = 0x4
    ALAW = 0x8
    G726_AAL2 = 0x10
    ADPCM = 0x20
    SLIN = 0x40
    LPC10 = 0x80
    G729 = 0x100
    SPEEX = 0x200
    ILBC = 0x400
    G726 = 0x800
    G722 = 0x1000


CODEC_PREFERENCE_LETTERS: Final = {
    Format.G723_1: "B",
    Format.GSM: "C",
    Format.ULAW: "D",
    Format.ALAW: "E",
    Format.G726: "F",
    Format.ADPCM: "G",
    Format.SLIN: "H",
    Format.LPC10: "I",
    Format.G729: "J",
    Format.SPEEX: "K",
    Format.ILBC: "M",
    Format.G726_AAL2: "N",
    Format.G722: "O",
}
"""Letters of the CODEC_PREFS element: Asterisk's codec list; "L" is its 16 kHz Speex."""


class AuthMethod(IntFlag):
    """Bits of the AUTHMETHODS element (RFC 5456 section 8.6.13)."""

    PLAINTEXT = 1
    MD5 = 2
    RSA = 4


class Encryption(IntFlag):
    """Bits of the ENCRYPTION element; KEY_ROTATION is Asterisk's and never offered by us."""

    AES128 = 0x0001
    KEY_ROTATION = 0x8000


class Cause(IntEnum):
    """Causes of a hang-up (RFC 5456 section 8.6.21, the values of Q.850)."""

    UNASSIGNED_NUMBER = 1
    NO_ROUTE_TRANSIT_NETWORK = 2
    NO_ROUTE_DESTINATION = 3
    CHANNEL_UNACCEPTABLE = 6
    CALL_AWARDED_DELIVERED = 7
    NORMAL_CLEARING = 16
    USER_BUSY = 17
    NO_USER_RESPONSE = 18
    NO_ANSWER = 19
    CALL_REJECTED = 21
    NUMBER_CHANGED = 22
    DESTINATION_OUT_OF_ORDER = 27
    INVALID_NUMBER_FORMAT = 28
    FACILITY_REJECTED = 29
    RESPONSE_TO_STATUS_ENQUIRY = 30
    NORMAL_UNSPECIFIED = 31
    NORMAL_CIRCUIT_CONGESTION = 34
    NETWORK_OUT_OF_ORDER = 38
    NORMAL_TEMPORARY_FAILURE = 41
    SWITCH_CONGESTION = 42
    ACCESS_INFO_DISCARDED = 43
    REQUESTED_CHANNEL_UNAVAILABLE = 44
    PREEMPTED = 45
    FACILITY_NOT_SUBSCRIBED = 50
    OUTGOING_CALL_BARRED = 52
    INCOMING_CALL_BARRED = 54
    BEARER_CAPABILITY_NOT_AUTHORIZED = 57
    BEARER_CAPABILITY_NOT_AVAILABLE = 58
    BEARER_CAPABILITY_NOT_IMPLEMENTED = 65
    CHANNEL_NOT_IMPLEMENTED = 66
    FACILITY_NOT_IMPLEMENTED = 69
    INVALID_CALL_REFERENCE = 81
    INCOMPATIBLE_DESTINATION = 88
    INVALID_MESSAGE_UNSPECIFIED = 95
    MANDATORY_IE_MISSING = 96
    MESSAGE_TYPE_NONEXISTENT = 97
    WRONG_MESSAGE = 98
    IE_NONEXISTENT = 99
    INVALID_IE_CONTENTS = 100
    WRONG_CALL_STATE = 101
    RECOVERY_ON_TIMER_EXPIRY = 102
    MANDATORY_IE_LENGTH_ERROR = 103
    PROTOCOL_ERROR = 111
    INTERWORKING = 127


DTMF_DIGITS: Final = frozenset("0123456789*#ABCD")
"""The sixteen digits that an IAX2 DTMF frame can carry."""

ANONYMOUS_PRESENTATION: Final = 0x43
"""CALLINGPRES: number not available (what Asterisk sends for a call without caller id)."""
