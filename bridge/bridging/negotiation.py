"""Between SDP and media formats: what a phone and a link can both speak."""

from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from bridge.iax2 import Format
from bridge.media.codecs import FORMAT_OF_ENCODING
from bridge.media.remote import RemoteMedia
from bridge.media.srtp import SrtpKeys
from bridge.sip.sdes import KeyExchange, Srtp
from bridge.sip.sdp import AudioDescription, LocalMedia, common_payload_type

_ENCODING_OF_FORMAT: Final = MappingProxyType(
    {media_format: encoding for encoding, media_format in FORMAT_OF_ENCODING.items()}
)
_G711: Final = (Format.ULAW, Format.ALAW)


def encodings(formats: Iterable[Format]) -> tuple[str, ...]:
    """Return the SDP encodings for a link's formats, best first.

    Either G.711 serves where a link has one of them: the relay translates by table.
    """
    return _encodings(tuple(formats))


@lru_cache
def _encodings(formats: tuple[Format, ...]) -> tuple[str, ...]:
    ordered = list(dict.fromkeys(formats))
    if any(media_format in _G711 for media_format in ordered):
        ordered += [media_format for media_format in _G711 if media_format not in ordered]
    return tuple(_ENCODING_OF_FORMAT[media_format] for media_format in ordered)


def local_media(host: str, port: int, formats: Iterable[Format]) -> LocalMedia:
    """Return what our SDP says."""
    return LocalMedia(host, port, encodings(formats))


def with_offered_keys(local: LocalMedia, keys: KeyExchange, srtp: Srtp) -> LocalMedia:
    """Return an offer of ours that proposes SRTP, or demands it, as `srtp` says."""
    if srtp is Srtp.OFF:
        return local
    return replace(local, crypto=keys.offer(), secure_only=srtp is Srtp.REQUIRED)


def with_answered_key(local: LocalMedia, keys: KeyExchange) -> LocalMedia:
    """Return an answer of ours in SRTP, where keys were agreed."""
    return local if keys.local is None else replace(local, crypto=(keys.local,))


def can_serve(remote: AudioDescription | None, formats: Iterable[Format]) -> bool:
    """Tell whether a phone's offer, if it made one, has a codec for the link."""
    return remote is None or common_payload_type(remote, encodings(formats)) is not None


def remote_media(
    remote: AudioDescription,
    formats: Iterable[Format],
    signalling_host: str,
    srtp: SrtpKeys | None = None,
) -> RemoteMedia | None:
    """Return the phone's side for the relay, None without a common codec."""
    chosen = common_payload_type(remote, encodings(formats))
    if chosen is None:
        return None
    return RemoteMedia(
        host=remote.host,
        port=remote.port,
        signalling_host=signalling_host,
        payload_type=chosen.number,
        format=FORMAT_OF_ENCODING[chosen.encoding],
        telephone_event=remote.telephone_event,
        rtcp_port=remote.rtcp_port,
        sends=remote.direction.sends,
        receives=remote.direction.receives,
        srtp=srtp,
        ptime_ms=remote.ptime_ms,
        maxptime_ms=remote.maxptime_ms,
    )
