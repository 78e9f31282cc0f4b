"""The numbers of the wire, held against a second writing of them.

Source: RFC 5456 section 8; Asterisk's iax2.h, frame.h, causes.h and codec_pref.c.
"""

from enum import Enum

import pytest

from bridge.iax2 import constants
from bridge.iax2.constants import (
    CODEC_PREFERENCE_LETTERS,
    DTMF_DIGITS,
    AuthMethod,
    Cause,
    ControlSubclass,
    ElementType,
    Encryption,
    Format,
    FrameType,
    IaxSubclass,
)


def numbered(text: str) -> dict[str, int]:
    words = text.split()
    return {name: int(number) for number, name in zip(words[::2], words[1::2], strict=True)}


FRAME_TYPES = numbered("""
    1 DTMF_END 2 VOICE 3 VIDEO 4 CONTROL 5 NULL 6 IAX 7 TEXT 8 IMAGE 9 HTML 10 CNG 12 DTMF_BEGIN
""")
IAX_SUBCLASSES = numbered("""
    1 NEW 2 PING 3 PONG 4 ACK 5 HANGUP 6 REJECT 7 ACCEPT 8 AUTHREQ 9 AUTHREP 10 INVAL 11 LAGRQ
    12 LAGRP 13 REGREQ 14 REGAUTH 15 REGACK 16 REGREJ 17 REGREL 18 VNAK 19 DPREQ 20 DPREP 21 DIAL
    22 TXREQ 23 TXCNT 24 TXACC 25 TXREADY 26 TXREL 27 TXREJ 28 QUELCH 29 UNQUELCH 30 POKE 32 MWI
    33 UNSUPPORT 34 TRANSFER 35 PROVISION 36 FWDOWNL 37 FWDATA 38 TXMEDIA 39 RTKEY 40 CALLTOKEN
""")
CONTROL_SUBCLASSES = numbered("""
    1 HANGUP 2 RING 3 RINGING 4 ANSWER 5 BUSY 8 CONGESTION 9 FLASH 11 OPTION 12 KEY_RADIO
    13 UNKEY_RADIO 14 PROGRESS 15 PROCEEDING 16 HOLD 17 UNHOLD 20 SOURCE_UPDATE 22 CONNECTED_LINE
    -1 STOP_TONES
""")
ELEMENTS = numbered("""
    1 CALLED_NUMBER 2 CALLING_NUMBER 3 CALLING_ANI 4 CALLING_NAME 5 CALLED_CONTEXT 6 USERNAME
    7 PASSWORD 8 CAPABILITY 9 FORMAT 10 LANGUAGE 11 VERSION 12 ADSICPE 13 DNID 14 AUTHMETHODS
    15 CHALLENGE 16 MD5_RESULT 17 RSA_RESULT 18 APPARENT_ADDR 19 REFRESH 20 DPSTATUS 21 CALLNO
    22 CAUSE 23 IAX_UNKNOWN 24 MSGCOUNT 25 AUTOANSWER 26 MUSICONHOLD 27 TRANSFERID 28 RDNIS
    29 PROVISIONING 30 AESPROVISIONING 31 DATETIME 32 DEVICETYPE 33 SERVICEIDENT 34 FIRMWAREVER
    35 FWBLOCKDESC 36 FWBLOCKDATA 37 PROVVER 38 CALLINGPRES 39 CALLINGTON 40 CALLINGTNS
    41 SAMPLINGRATE 42 CAUSECODE 43 ENCRYPTION 44 ENCKEY 45 CODEC_PREFS 46 RR_JITTER 47 RR_LOSS
    48 RR_PKTS 49 RR_DELAY 50 RR_DROPPED 51 RR_OOO 52 VARIABLE 53 OSPTOKEN 54 CALLTOKEN
    55 CAPABILITY2 56 FORMAT2 57 CALLINGANI2
""")
FORMAT_BITS = numbered("""
    0 G723_1 1 GSM 2 ULAW 3 ALAW 4 G726_AAL2 5 ADPCM 6 SLIN 7 LPC10 8 G729 9 SPEEX 10 ILBC
    11 G726 12 G722
""")
CAUSES = numbered("""
    1 UNASSIGNED_NUMBER 3 NO_ROUTE_DESTINATION 16 NORMAL_CLEARING 17 USER_BUSY 18 NO_USER_RESPONSE
    19 NO_ANSWER 21 CALL_REJECTED 22 NUMBER_CHANGED 27 DESTINATION_OUT_OF_ORDER
    28 INVALID_NUMBER_FORMAT 29 FACILITY_REJECTED 31 NORMAL_UNSPECIFIED
    34 NORMAL_CIRCUIT_CONGESTION 38 NETWORK_OUT_OF_ORDER 41 NORMAL_TEMPORARY_FAILURE
    42 SWITCH_CONGESTION 44 REQUESTED_CHANNEL_UNAVAILABLE 50 FACILITY_NOT_SUBSCRIBED
    57 BEARER_CAPABILITY_NOT_AUTHORIZED 58 BEARER_CAPABILITY_NOT_AVAILABLE
    65 BEARER_CAPABILITY_NOT_IMPLEMENTED 66 CHANNEL_NOT_IMPLEMENTED 81 INVALID_CALL_REFERENCE
    88 INCOMPATIBLE_DESTINATION 102 RECOVERY_ON_TIMER_EXPIRY 111 PROTOCOL_ERROR 127 INTERWORKING
""")
CODEC_PREFERENCE_ORDER = numbered("""
    1 G723_1 2 GSM 3 ULAW 4 ALAW 5 G726 6 ADPCM 7 SLIN 8 LPC10 9 G729 10 SPEEX 11 SPEEX16 12 ILBC
    13 G726_AAL2 14 G722
""")
"""Asterisk's iax2_supported_formats; on the wire the letter that stands so far behind "A"."""


@pytest.mark.parametrize(
    ("enum", "expected"),
    [
        (FrameType, FRAME_TYPES),
        (IaxSubclass, IAX_SUBCLASSES),
        (ControlSubclass, CONTROL_SUBCLASSES),
        (ElementType, ELEMENTS),
    ],
)
def test_numbers(enum: type[Enum], expected: dict[str, int]) -> None:
    assert {name: member.value for name, member in enum.__members__.items()} == expected


def test_formats_are_bits() -> None:
    assert {f.name: f.value for f in Format} == {n: 1 << bit for n, bit in FORMAT_BITS.items()}


def test_causes_that_the_bridge_maps() -> None:
    assert {name: Cause[name].value for name in CAUSES} == CAUSES


@pytest.mark.parametrize("enum", [FrameType, IaxSubclass, ControlSubclass, ElementType, Cause])
def test_no_number_has_two_names(enum: type[Enum]) -> None:
    assert len(enum.__members__) == len(list(enum))


def test_codec_preference_letters_count_along_asterisks_list() -> None:
    ours = {
        codec.name: ord(letter) - ord("A") for codec, letter in CODEC_PREFERENCE_LETTERS.items()
    }
    assert ours == {name: CODEC_PREFERENCE_ORDER[name] for name in Format.__members__}


def test_bits_of_security() -> None:
    assert {m.name: m.value for m in AuthMethod} == {"PLAINTEXT": 1, "MD5": 2, "RSA": 4}
    assert {e.name: e.value for e in Encryption} == {"AES128": 1, "KEY_ROTATION": 0x8000}


def test_single_numbers() -> None:
    assert constants.DEFAULT_PORT == 4569
    assert constants.PROTOCOL_VERSION == 2
    assert constants.CALL_NUMBER_NONE == 0
    assert constants.CALL_NUMBER_STATELESS == 1
    assert constants.CALL_NUMBER_MAX == 32767
    assert constants.ANONYMOUS_PRESENTATION == 0x43


def test_sixteen_digits() -> None:
    assert "".join(sorted(DTMF_DIGITS)) == "#*0123456789ABCD"
