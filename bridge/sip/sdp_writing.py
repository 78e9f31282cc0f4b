"""SDP: our own session description, as an offer or as the answer to a peer's.

Owns the offer/answer rules for one audio line: how hold is mirrored, and that every other line is
refused with port 0. Pure text and values, as sdp is, whose AudioDescription it answers.
"""

from __future__ import annotations

from collections.abc import Sequence

from bridge.sip.sdes import write_crypto
from bridge.sip.sdp import (
    ENCODINGS,
    AudioDescription,
    Direction,
    LocalMedia,
    SdpError,
    common_payload_type,
    direction_of,
)

OFFERED_TELEPHONE_EVENT = 101

_TELEPHONE_EVENT_LINES = "a=rtpmap:{0} telephone-event/8000\r\na=fmtp:{0} 0-15\r\n"


def mirrored(remote: Direction, wanted: Direction) -> Direction:
    """Our direction in the answer: what we want, as far as the offer allows it.

    RFC 3264 section 6.1: sendonly is answered by recvonly or inactive, and the other way round.
    """
    return direction_of(
        sends=remote.receives and wanted.sends, receives=remote.sends and wanted.receives
    )


def write_sdp(
    offer: AudioDescription | None, local: LocalMedia, session_id: int, session_version: int
) -> str:
    """Our session description: an offer when `offer` is None, otherwise the answer to it.

    Raises:
        SdpError: the offer has none of our encodings.

    RFC 4566 section 5; RFC 3264 sections 5 and 6.
    """
    family = 6 if ":" in local.host else 4
    lines = _write_offer(local) if offer is None else _write_answer(offer, local)
    return (
        f"v=0\r\no=- {session_id} {session_version} IN IP{family} {local.host}\r\ns=-\r\n"
        f"c=IN IP{family} {local.host}\r\nt=0 0\r\n{lines}"
    )


def _write_offer(local: LocalMedia) -> str:
    numbers = [ENCODINGS[name].number for name in local.encodings]
    rtpmaps = "".join(_write_codec(ENCODINGS[n].number, n) for n in local.encodings)
    event = OFFERED_TELEPHONE_EVENT if local.telephone_event else None
    return _write_audio(
        local,
        local.direction,
        protocol="RTP/SAVP" if local.secure_only else "RTP/AVP",
        numbers=numbers,
        rtpmaps=rtpmaps,
        event=event,
    )


def _write_answer(offer: AudioDescription, local: LocalMedia) -> str:
    """The offer's lines in its order: ours at its place, all others refused (RFC 3264, 6)."""
    codec = common_payload_type(offer, local.encodings)
    if codec is None:
        raise SdpError("SDP offers no codec that both sides have")
    if bool(offer.crypto) != bool(local.crypto):
        raise SdpError("SDP offers keys that are not answered")
    parts = [f"m={m.kind} 0 {m.protocol} {' '.join(m.formats)}\r\n" for m in offer.media_lines]
    parts[offer.line] = _write_audio(
        local,
        mirrored(offer.direction, local.direction),
        protocol=offer.media_lines[offer.line].protocol,
        numbers=[codec.number],
        rtpmaps=_write_codec(codec.number, codec.encoding),
        event=offer.telephone_event if local.telephone_event else None,
    )
    return "".join(parts)


def _write_codec(number: int, name: str) -> str:
    encoding = ENCODINGS[name]
    fmtp = f"a=fmtp:{number} {encoding.fmtp}\r\n" if encoding.fmtp else ""
    return f"a=rtpmap:{number} {encoding.rtpmap}\r\n{fmtp}"


def _write_audio(
    local: LocalMedia,
    direction: Direction,
    *,
    protocol: str,
    numbers: Sequence[int],
    rtpmaps: str,
    event: int | None,
) -> str:
    formats = " ".join(map(str, numbers if event is None else (*numbers, event)))
    events = "" if event is None else _TELEPHONE_EVENT_LINES.format(event)
    return (
        f"m=audio {local.port} {protocol} {formats}\r\n{rtpmaps}{events}"
        f"{''.join(map(write_crypto, local.crypto))}"
        f"a=ptime:{local.ptime_ms}\r\na={direction.value}\r\n"
    )
