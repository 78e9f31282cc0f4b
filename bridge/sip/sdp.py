"""SDP: what is said of audio, as values, and a peer's session description read with suspicion.

Owns which audio line of a description is used and which codec both sides share. Pure text and
values: it must not know pjsua2, sockets or calls. What a stranger sends raises SdpError and
nothing else. Ours is written in sdp_writing.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from types import MappingProxyType

from bridge.errors import BridgeError
from bridge.sip.sdes import MAX_CRYPTOS, Crypto, Srtp, parse_crypto_untrusted

MAX_SDP_CHARACTERS = 6000
MAX_MEDIA_LINES = 7  # one less than PJSIP keeps, so that what it drops of an offer shows
MAX_FORMATS = 64
MAX_FMTP_CHARACTERS = 256
PTIME_RANGE_MS = range(5, 201)
TELEPHONE_EVENT = "TELEPHONE-EVENT"
TELEPHONE_EVENT_CLOCK_HZ = 8000

_PLAIN_RTP = frozenset({"RTP/AVP", "RTP/AVPF"})
_SECURE_RTP = frozenset({"RTP/SAVP", "RTP/SAVPF"})
_TOKEN = re.compile(r"[!#$%&'*+.0-9A-Z^_`a-z{|}~/-]{1,64}")
_RTPMAP = re.compile(r"(\d{1,3}) +([!-.0-~]{1,32})/(\d{1,6})(?:/(\d))?", re.ASCII)
_FMTP = re.compile(r"(\d{1,3}) +([ -~]+)", re.ASCII)
_ILBC_20_MS = re.compile(r"\bmode *= *20\b", re.ASCII)
_MEDIA_FIELDS = 4
_CONNECTION_FIELDS = 3
_MAX_PAYLOAD_TYPE = 127


class SdpError(BridgeError):
    """A session description that cannot be read, or that leaves no audio to agree on."""


class Direction(Enum):
    """Who sends, as the describing side sees it (RFC 3264 section 5.1)."""

    SENDRECV = "sendrecv"
    SENDONLY = "sendonly"
    RECVONLY = "recvonly"
    INACTIVE = "inactive"

    @property
    def sends(self) -> bool:
        """Whether the describing side sends media."""
        return self in (Direction.SENDRECV, Direction.SENDONLY)

    @property
    def receives(self) -> bool:
        """Whether the describing side wants media."""
        return self in (Direction.SENDRECV, Direction.RECVONLY)


def direction_of(*, sends: bool, receives: bool) -> Direction:
    """The direction of a side that sends, receives, both or neither."""
    if sends:
        return Direction.SENDRECV if receives else Direction.SENDONLY
    return Direction.RECVONLY if receives else Direction.INACTIVE


@dataclass(frozen=True, slots=True)
class PayloadType:
    """One codec of a media line; `encoding` is in upper case."""

    number: int
    encoding: str
    clock_rate_hz: int
    channels: int = 1
    fmtp: str = ""


@dataclass(frozen=True, slots=True)
class MediaLine:
    """An m= line as far as an answer has to repeat it when it refuses it."""

    kind: str
    protocol: str
    formats: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AudioDescription:
    """The audio line that a peer described and that we use.

    `host` is an address literal; the unspecified address means that the peer wants no media
    (hold as in RFC 2543), which `direction` says too. `payload_types` are in the peer's order,
    without telephone-event, whose number at 8000 Hz is `telephone_event`. `ptime_ms` and
    `maxptime_ms` are None when the peer named none. `line` is the index of the audio line in
    `media_lines`. `crypto` is what the peer says of its SRTP that we can do, best first; empty: the
    audio is in clear.
    """

    host: str
    port: int
    payload_types: tuple[PayloadType, ...]
    direction: Direction = Direction.SENDRECV
    ptime_ms: int | None = None
    maxptime_ms: int | None = None
    telephone_event: int | None = None
    rtcp_port: int = 0
    line: int = 0
    media_lines: tuple[MediaLine, ...] = ()
    crypto: tuple[Crypto, ...] = ()


@dataclass(frozen=True, slots=True)
class LocalMedia:
    """What we want to say of our own audio: where it arrives and which codecs, best first.

    `encodings` are keys of ENCODINGS. An answer carries the first one that the peer offers too,
    an offer all of them. `direction` is what we would like; an answer grants at most what the
    offer allows. `crypto` are our keys: one to answer with, or one for each suite to offer, which
    an offer demands when `secure_only` and else only proposes (RFC 8643).
    """

    host: str
    port: int
    encodings: tuple[str, ...]
    ptime_ms: int = 20
    direction: Direction = Direction.SENDRECV
    telephone_event: bool = True
    crypto: tuple[Crypto, ...] = ()
    secure_only: bool = False


@dataclass(frozen=True, slots=True)
class Encoding:
    """How we write a codec of ours: its payload type when we offer, its rtpmap and its fmtp."""

    number: int
    rtpmap: str
    clock_rate_hz: int = 8000
    fmtp: str = ""


ENCODINGS: Mapping[str, Encoding] = MappingProxyType(
    {
        "PCMU": Encoding(0, "PCMU/8000"),
        "PCMA": Encoding(8, "PCMA/8000"),
        "G722": Encoding(9, "G722/8000"),
        "GSM": Encoding(3, "GSM/8000"),
        "G729": Encoding(18, "G729/8000", fmtp="annexb=no"),
        "ILBC": Encoding(97, "iLBC/8000", fmtp="mode=20"),
    }
)

# Payload types that need no rtpmap, as far as their names matter here (RFC 3551 section 6).
_STATIC: Mapping[int, tuple[str, int]] = MappingProxyType(
    {
        0: ("PCMU", 8000),
        3: ("GSM", 8000),
        4: ("G723", 8000),
        8: ("PCMA", 8000),
        9: ("G722", 8000),
        13: ("CN", 8000),
        15: ("G728", 8000),
        18: ("G729", 8000),
    }
)


@dataclass(slots=True)
class _Section:
    """The session part or one media part while it is read."""

    connection: str = ""
    direction: Direction | None = None
    kind: str = ""
    port: int = 0
    protocol: str = ""
    formats: tuple[str, ...] = ()
    ptimes_ms: dict[str, int] = field(default_factory=dict)
    rtcp_port: int | None = None
    rtpmaps: dict[int, tuple[str, int, int]] = field(default_factory=dict)
    fmtps: dict[int, str] = field(default_factory=dict)
    cryptos: dict[int, Crypto] = field(default_factory=dict)

    @property
    def is_audio(self) -> bool:
        """Whether this is audio over a transport that we know, which is not switched off."""
        known = self.protocol in _PLAIN_RTP or self.protocol in _SECURE_RTP
        return self.kind == "audio" and self.port != 0 and known


def parse_sdp_untrusted(text: str, srtp: Srtp = Srtp.OFF) -> AudioDescription:
    """Read a peer's session description; the first audio line counts that `srtp` allows.

    Where SRTP is optional, a line that can be encrypted goes before one that cannot. One over plain
    RTP with keys counts as such (RFC 8643).

    Raises:
        SdpError: malformed, too large, or no audio line that `srtp` allows (all switched off, no
            keys that we can use, a connection address that is no unicast address literal).

    RFC 4566 section 5; RFC 3264 section 5; RFC 4568 section 5.1.
    """
    session, media = _read_sections(text)
    lines = [line for line, section in enumerate(media) if section.is_audio]
    plain = [line for line in lines if media[line].protocol in _PLAIN_RTP]
    secure = [line for line in lines if media[line].cryptos]
    if srtp is not Srtp.OFF and secure:
        return _describe(session, secure[0], media, tuple(media[secure[0]].cryptos.values()))
    if srtp is not Srtp.REQUIRED and plain:
        return _describe(session, plain[0], media, ())
    if any(section.kind == "audio" and section.port for section in media):
        raise SdpError(_NOT_ALLOWED[srtp])
    raise SdpError("SDP has no active audio line")


_NOT_ALLOWED = {
    Srtp.OFF: "SDP offers audio over encrypted or unknown transports only",
    Srtp.OPTIONAL: "SDP offers audio over transports or with keys only that are not known",
    Srtp.REQUIRED: "SDP offers no audio that can be encrypted, as is required",
}


def _read_sections(text: str) -> tuple[_Section, list[_Section]]:
    if len(text) > MAX_SDP_CHARACTERS:
        raise SdpError(f"SDP is longer than {MAX_SDP_CHARACTERS} characters")
    lines = _fields(text)
    if next(lines, None) != ("v", "0"):
        raise SdpError("SDP does not begin with v=0")
    session = section = _Section()
    media: list[_Section] = []
    for letter, value in lines:
        match letter:
            case "m":
                if len(media) == MAX_MEDIA_LINES:
                    raise SdpError(f"SDP has more than {MAX_MEDIA_LINES} media lines")
                section = _read_media_line(value)
                media.append(section)
            case "c":
                section.connection = section.connection or value
            case "a":
                _read_attribute(section, value)
    return session, media


def _fields(text: str) -> Iterator[tuple[str, str]]:
    """The (letter, value) pairs of the lines; blank lines are passed over."""
    for raw in text.split("\n"):
        line = raw.rstrip("\r")
        if not line:
            continue
        if line[1:2] != "=":
            raise SdpError("SDP has a line that is no field")
        yield line[0], line[2:]


def _read_media_line(value: str) -> _Section:
    """One m= line: kind, port, transport, formats (RFC 4566 section 5.14)."""
    words = [word for word in value.split(" ", MAX_FORMATS + _MEDIA_FIELDS) if word]
    if len(words) < _MEDIA_FIELDS or len(words) > MAX_FORMATS + _MEDIA_FIELDS - 1:
        raise SdpError("SDP has a media line with too few or too many fields")
    if not all(_TOKEN.fullmatch(word) for word in words):
        raise SdpError("SDP has a media line with characters that are not allowed")
    kind, port, protocol, *formats = words
    number = _decimal(port.partition("/")[0], 65535)
    if number is None:
        raise SdpError("SDP has a media line with an impossible port")
    return _Section(kind=kind.lower(), port=number, protocol=protocol, formats=tuple(formats))


def _read_attribute(section: _Section, value: str) -> None:
    """Note one a= line; attributes that are unknown or malformed count as absent.

    RFC 4566 section 5.13: a parser ignores attributes that it does not understand.
    """
    name, _, rest = value.partition(":")
    match name:
        case "sendrecv" | "sendonly" | "recvonly" | "inactive":
            section.direction = Direction(name)
        case "ptime" | "maxptime":
            ptime_ms = _decimal(rest.strip(), 1000)
            if ptime_ms is not None and ptime_ms in PTIME_RANGE_MS:
                section.ptimes_ms[name] = ptime_ms
        case "rtcp":
            section.rtcp_port = _decimal(rest.partition(" ")[0], 65535)
        case "crypto":
            _read_crypto(section, rest)
        case "rtpmap":
            _read_rtpmap(section, rest)
        case "fmtp":
            _read_fmtp(section, rest)


def _read_crypto(section: _Section, value: str) -> None:
    crypto = parse_crypto_untrusted(value)
    if crypto is not None and len(section.cryptos) < MAX_CRYPTOS:
        section.cryptos.setdefault(crypto.tag, crypto)


def _read_fmtp(section: _Section, value: str) -> None:
    found = _FMTP.fullmatch(value.strip()) if len(value) <= MAX_FMTP_CHARACTERS else None
    if found is not None:
        section.fmtps.setdefault(int(found[1]), found[2])


def _read_rtpmap(section: _Section, value: str) -> None:
    if found := _RTPMAP.fullmatch(value.strip()):
        codec = found[2].upper(), int(found[3]), int(found[4] or 1)
        section.rtpmaps.setdefault(int(found[1]), codec)


def _decimal(digits: str, limit: int) -> int | None:
    if not (digits.isascii() and digits.isdigit() and len(digits) <= len(str(limit))):
        return None
    return number if (number := int(digits)) <= limit else None


def _describe(
    session: _Section, line: int, media: Sequence[_Section], crypto: tuple[Crypto, ...]
) -> AudioDescription:
    audio = media[line]
    host, wants_media = _connection_host(audio.connection or session.connection)
    direction = audio.direction or session.direction or Direction.SENDRECV
    if not wants_media:
        direction = direction_of(sends=direction.sends, receives=False)
    payload_types = tuple(_payload_types(audio))
    return AudioDescription(
        host=host,
        port=audio.port,
        payload_types=tuple(p for p in payload_types if p.encoding != TELEPHONE_EVENT),
        direction=direction,
        ptime_ms=audio.ptimes_ms.get("ptime"),
        maxptime_ms=audio.ptimes_ms.get("maxptime"),
        telephone_event=_telephone_event(payload_types),
        rtcp_port=audio.port + 1 if audio.rtcp_port is None else audio.rtcp_port,
        line=line,
        media_lines=tuple(MediaLine(m.kind, m.protocol, m.formats) for m in media),
        crypto=crypto,
    )


@lru_cache(maxsize=256)  # phones have few addresses, and say them with each call
def _connection_host(connection: str) -> tuple[str, bool]:
    """The address of a c= line, and whether it may be sent to (not when unspecified: on hold).

    Names are refused: to look up what a stranger names is a service to the stranger.
    """
    words = connection.split()
    if len(words) != _CONNECTION_FIELDS or words[0] != "IN" or words[1] not in ("IP4", "IP6"):
        raise SdpError("SDP has no usable connection address")
    try:
        address = ipaddress.ip_address(words[2])
    except ValueError:
        raise SdpError("SDP has a connection address that is no address literal") from None
    if address.is_multicast or address == ipaddress.IPv4Address("255.255.255.255"):
        raise SdpError("SDP has a connection address that is not unicast")
    if words[1] != f"IP{address.version}" or "%" in words[2]:
        raise SdpError("SDP has a connection address of another kind than it says")
    return str(address), not address.is_unspecified


def _payload_types(audio: _Section) -> Iterator[PayloadType]:
    """The codecs of a line in its order; numbers without a name that we know are left out."""
    seen: set[int] = set()
    for text in audio.formats:
        number = _decimal(text, _MAX_PAYLOAD_TYPE)
        if number is None or number in seen:
            continue
        seen.add(number)
        static = _STATIC.get(number)
        codec = audio.rtpmaps.get(number) or (static and (*static, 1))
        if codec is not None:
            yield PayloadType(number, *codec, fmtp=audio.fmtps.get(number, ""))


def _telephone_event(payload_types: Sequence[PayloadType]) -> int | None:
    """The number of telephone-event at the clock of our codecs (RFC 4733 section 2.1)."""
    for payload in payload_types:
        codec = payload.encoding, payload.clock_rate_hz
        if codec == (TELEPHONE_EVENT, TELEPHONE_EVENT_CLOCK_HZ):
            return payload.number
    return None


def common_payload_type(remote: AudioDescription, encodings: Sequence[str]) -> PayloadType | None:
    """The first of our `encodings` that the peer has too, under the peer's number, or None.

    iLBC counts where the peer asks for frames of 20 ms: it would send 30 ms otherwise, whatever we
    answer (RFC 3952 section 5).
    """
    named = (p for name in encodings for p in remote.payload_types if p.encoding == name)
    return next(filter(_is_ours, named), None)


def _is_ours(payload: PayloadType) -> bool:
    codec = payload.clock_rate_hz, payload.channels
    same = codec == (ENCODINGS[payload.encoding].clock_rate_hz, 1)
    return same and (payload.encoding != "ILBC" or bool(_ILBC_20_MS.search(payload.fmtp)))
