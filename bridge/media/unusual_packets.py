"""What a phone sends beside plain audio of 20 ms: digits, comfort noise, other lengths and headers.

Owns what becomes of such a packet. None of it moves the link's clock: a digit or comfort noise
leaves silence in its place there.
"""

from bridge.media.call_media import UNNEGOTIATED, CallMedia
from bridge.media.pacing import NO_AUDIO
from bridge.media.ports import Receive
from bridge.media.repacking import DATAGRAM_OCTETS_MAX, RepackingBuffer
from bridge.media.rtp import RtpError, RtpPacket, parse_rtp_untrusted


def take_unusual(media: CallMedia, datagram: bytes, now: float) -> RtpPacket | None:
    """Return a packet whose header alone is unusual; deal with any other, or count it.

    RFC 4733; RFC 3389; RFC 4566 section 6: ptime is what a phone would like, and no promise.
    """
    try:
        packet = parse_rtp_untrusted(datagram)
    except RtpError:
        media.counters.malformed += 1
        return None
    if not media.negotiated(packet.payload_type):
        media.counters.wrong_payload_type += 1
    elif packet.payload_type != media.payload_type:
        _take_without_audio(media, packet, now)
    elif len(packet.payload) == media.audio_octets and not _repacks(media):
        return packet
    else:
        _take_other_length(media, packet, now)
    return None


def _take_without_audio(media: CallMedia, packet: RtpPacket, now: float) -> None:
    """Take a digit, or comfort noise, which says that the phone lives and is silent."""
    _note(media, packet, None, now)
    media.buffer.put(packet.sequence, NO_AUDIO)
    if media.remote is None or packet.payload_type != media.remote.telephone_event:
        return
    digits = media.telephone_events.receive(packet.timestamp, packet.marker, packet.payload)
    for digit in digits or "":
        media.counters.digits_received += 1
        media.on_digit(digit)


def _take_other_length(media: CallMedia, packet: RtpPacket, now: float) -> None:
    """Take audio that is not 20 ms long; the first of it has all that follows come this way."""
    if media.path is None:
        _note(media, packet, packet.timestamp, now)
        media.counters.unused += 1
        return
    buffer = media.buffer
    if not isinstance(buffer, RepackingBuffer):
        buffer = RepackingBuffer(media.path.format)
        # A longer one may be cut, for so much is read of plain packets and no more.
        if not buffer.fits(len(packet.payload)) and len(packet.payload) <= media.audio_octets:
            media.counters.wrong_size += 1
            return
        media.use_buffer(buffer)
        media.packet_octets = UNNEGOTIATED
        media.receive = _whole(media.receive)
    _repack(media, buffer, packet, now)


def _repack(media: CallMedia, buffer: RepackingBuffer, packet: RtpPacket, now: float) -> None:
    if not buffer.fits(len(packet.payload)):
        media.counters.wrong_size += 1
        return
    _note(media, packet, packet.timestamp, now)
    media.counters.received += 1
    if not media.phone_sends:
        media.counters.unused += 1
        return
    table = media.table_to_link
    payload = packet.payload if table is None else packet.payload.translate(table)
    buffer.put_at(packet.timestamp, payload)


def _note(media: CallMedia, packet: RtpPacket, timestamp: int | None, now: float) -> None:
    if packet.ssrc != media.ssrc:
        media.change_ssrc(packet.ssrc)
    media.last_rtp_at = now
    media.count(packet.sequence, timestamp, now)


def _repacks(media: CallMedia) -> bool:
    return isinstance(media.buffer, RepackingBuffer)


def _whole(receive: Receive) -> Receive:
    """Read datagrams whole, whatever is asked for."""
    return lambda _octets: receive(DATAGRAM_OCTETS_MAX)
