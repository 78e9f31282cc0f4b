"""The media of one call: a phone's sockets and stream on one side, a voice path on the other.

Owns what is said to one call: negotiate, connect, play, digits, close; and the state that
relay.py's hot path reads and writes for each packet. Must not know SIP, or how time is kept.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from bridge.iax2.auth import Address
from bridge.iax2.constants import Format
from bridge.iax2.voice import VoicePath
from bridge.media import codecs
from bridge.media.pacing import FRAME_MS, NO_AUDIO, ReorderBuffer
from bridge.media.phone_stream import PhoneStream
from bridge.media.ports import PortPair
from bridge.media.remote import RemoteMedia, SymmetricLatch
from bridge.media.report_session import ReportSession
from bridge.media.rtcp import RtcpError
from bridge.media.rtp import (
    HEADER_OCTETS,
    PAYLOAD_TYPE_MASK,
    TIMESTAMP_MASK,
    VERSION_2,
    VERSION_MASK,
    RtpError,
    RtpPacket,
    parse_rtp_untrusted,
)
from bridge.media.sources import Source
from bridge.media.telephone_event import TelephoneEventReceiver, TelephoneEventSender

REPORT_OCTETS_MAX: Final = 1500
NO_SLOT: Final = 1 << 62
"""First slot of a call that sends nothing toward the link: not connected, or closed."""

_UNNEGOTIATED: Final = -1


class Owner(Protocol):
    """What a call needs of its relay."""

    def connect(self, media: "CallMedia", path: VoicePath, now: float) -> int:
        """Give the call its place in a batch; returns the slot of its phase that has begun."""

    def speak(self, media: "CallMedia", now: float) -> None:
        """Call `media.speak` in each slot from now on, until it speaks no more."""

    def to_phone(self, media: "CallMedia", timestamp_ms: int, payload: bytes, now: float) -> None:
        """Relay a frame of the link."""

    def forget(self, media: "CallMedia") -> None:
        """Take the call from clock, routes and sockets."""


@dataclass(slots=True)
class MediaCounters:
    """What happened to the packets of one call; the reorder buffer and the path count theirs.

    Attributes:
        received: Audio packets from the phone.
        sent, sent_octets: Packets to the phone, and octets of their payload.
        wrong_source, wrong_payload_type, wrong_size, malformed: Dropped, by reason.
        unused: Audio before the link was connected, or of a phone that said it sends none.
        unheard: Frames of the link while a tone or digit plays, or the phone is not to be sent to.
        late: Frames of the link that came twice or far too late.
        send_blocked, send_failed, receive_failed: Errors of the sockets, ICMP's included.
        digits_received, digits_sent: RFC 4733 events.
    """

    received: int = 0
    sent: int = 0
    sent_octets: int = 0
    wrong_source: int = 0
    wrong_payload_type: int = 0
    wrong_size: int = 0
    malformed: int = 0
    unused: int = 0
    unheard: int = 0
    late: int = 0
    send_blocked: int = 0
    send_failed: int = 0
    receive_failed: int = 0
    digits_received: int = 0
    digits_sent: int = 0


class CallMedia:
    """One call in the relay; made by `Relay.open`.

    Attributes:
        rtp_port: The local port for SDP; RTCP has the next one.
        on_digit: Called with each digit that the phone sends (RFC 4733), once.
        last_rtp_at: When the phone's last packet was read, None before the first.
        counters, buffer, latch, reports, stream: Its parts, each with figures of its own.
        path: The link's side; None until connected.
        speaking: The phone hears a tone or a digit of ours rather than the link.
        closed: It is over; commands do nothing any more.
    """

    __slots__ = (
        "_digits",
        "_owner",
        "_remote",
        "_source",
        "_until_voice",
        "audio_octets",
        "buffer",
        "closed",
        "count",
        "counters",
        "first_slot",
        "last_rtp_at",
        "latch",
        "on_digit",
        "open_frame",
        "origin_ms",
        "packet_octets",
        "path",
        "payload_type",
        "phase",
        "phone_sends",
        "ports",
        "pull",
        "receive",
        "reports",
        "rtp_port",
        "seal",
        "send_full",
        "send_rtp",
        "silence",
        "speaking",
        "ssrc",
        "stream",
        "table_to_link",
        "table_to_phone",
        "telephone_events",
    )

    def __init__(self, owner: Owner, ports: PortPair) -> None:
        self._owner = owner
        self.closed = False
        self.on_digit: Callable[[str], None] = _ignore
        self.counters = MediaCounters()
        # The phone: sockets, negotiation, both streams.
        self.ports = ports
        self.rtp_port = ports.rtp_port
        self.receive = ports.rtp.recvfrom
        self.send_rtp: Callable[[bytes, Any], int] = ports.rtp.sendto
        self._remote: RemoteMedia | None = None
        self.payload_type = self.packet_octets = self.audio_octets = _UNNEGOTIATED
        self.phone_sends = False
        self.latch = SymmetricLatch()
        self.ssrc: int | None = None
        self.last_rtp_at: float | None = None
        self.stream = PhoneStream()
        self.reports = ReportSession(self.stream.ssrc)
        self.count = self.reports.statistics.update
        self.telephone_events = TelephoneEventReceiver()
        # The link: its path is bound by connect().
        self.buffer = ReorderBuffer()
        self.pull = self.buffer.pull
        self.phase: int | None = None
        self.path: VoicePath | None = None
        self.first_slot = NO_SLOT
        self.origin_ms = 0
        self.silence = b""
        self.table_to_link: bytes | None = None
        self.table_to_phone: bytes | None = None
        # Ourselves.
        self.speaking = False
        self._source: Source | None = None
        self._until_voice = False
        self._digits = TelephoneEventSender()

    # Commands

    def set_remote(self, remote: RemoteMedia) -> None:
        """Take the outcome of an SDP negotiation, the first one or that of a re-INVITE.

        Raises:
            CodecError: The phone's format cannot be relayed.
        """
        self.audio_octets = codecs.frame_octets(remote.format)
        self.packet_octets = HEADER_OCTETS + self.audio_octets
        self.payload_type = remote.payload_type
        self.phone_sends = remote.sends
        self._remote = remote
        self.latch.negotiate(remote)
        self._choose_tables()
        if not remote.sends:
            self.buffer.clear()

    def connect(self, path: VoicePath, send_full: Callable[[bytes, int], None], now: float) -> None:
        """Begin to send toward the link: the first frame now, then one each 20 ms until `close`.

        Args:
            path: The voice of an answered call.
            send_full: Called with payload and timestamp_ms where a full frame is due.
            now: Seconds.

        Raises:
            CodecError: The two formats cannot be translated into each other.
        """
        if self.closed:
            return
        self.path = path
        self.seal = path.seal
        self.open_frame = path.open
        self.send_full = send_full
        self.silence = codecs.silence(path.format, path.frame_octets)
        self._choose_tables()
        slot = self._owner.connect(self, path, now)
        begun_ms = path.elapsed_ms(now) // FRAME_MS * FRAME_MS
        self.origin_ms = begun_ms - slot * FRAME_MS
        self.first_slot = slot + 1
        send_full(self.silence, begun_ms)

    @property
    def format(self) -> Format | None:
        """The phone's codec, None until negotiated."""
        return None if self._remote is None else self._remote.format

    def play(self, source: Source | None, now: float, *, until_voice: bool = False) -> None:
        """Let the phone hear local audio in its own format, or, with None, the link again.

        With `until_voice` the link's next voice frame ends it, as it ends a ringback tone.
        """
        self._source = source
        self._until_voice = until_voice
        self.stream.change_source()
        if source is not None and not self.closed:
            self._begin_to_speak(now)
        else:
            self.speaking = self._digits.active

    def yields_to_voice(self, now: float) -> bool:
        """End a tone that only fills in for the link's voice; whether the voice is heard now."""
        if self._until_voice:
            self.play(None, now)
        return not self.speaking

    def send_digit(self, digit: str, now: float) -> bool:
        """Send the phone a digit; False when it takes none, or too many wait (RFC 4733)."""
        takes_digits = self._remote is not None and self._remote.telephone_event is not None
        if self.closed or not takes_digits or not self._digits.queue(digit):
            return False
        self.counters.digits_sent += 1
        self._begin_to_speak(now)
        return True

    def receive_voice(self, payload: bytes, timestamp_ms: int, now: float) -> None:
        """Relay a full voice frame of the link (the engine's VoiceReceived)."""
        if self.path is not None and len(payload) == self.path.frame_octets:
            self._owner.to_phone(self, timestamp_ms, payload, now)

    def close(self) -> None:
        """End the call's media; a second time does nothing."""
        if not self.closed:
            self.closed = True
            self.first_slot = NO_SLOT
            self._owner.forget(self)

    # For the relay: the phone's packets that are not plain audio from the latched source

    def admit(self, datagram: bytes, source: Address) -> bool:
        """Latch to a source, if it is the phone; else count it.

        Its first packet must be RTP of a payload type that was negotiated.
        """
        is_rtp = len(datagram) >= HEADER_OCTETS and datagram[0] & VERSION_MASK == VERSION_2
        valid = is_rtp and self._negotiated(datagram[1] & PAYLOAD_TYPE_MASK)
        if valid and self.latch.accept(source):
            return True
        self.counters.wrong_source += 1
        return False

    def parse_unusual(self, datagram: bytes, now: float) -> RtpPacket | None:
        """Return the audio of a packet whose header is not plain; None where it carries none."""
        try:
            packet = parse_rtp_untrusted(datagram)
        except RtpError:
            self.counters.malformed += 1
            return None
        if not self._negotiated(packet.payload_type):
            self.counters.wrong_payload_type += 1
        elif packet.payload_type != self.payload_type:
            self._receive_event(packet, now)
        elif len(packet.payload) != self.audio_octets:
            self.counters.wrong_size += 1
        else:
            return packet
        return None

    def change_ssrc(self, ssrc: int) -> None:
        """Begin anew with a phone that has restarted its stream (RFC 3550 section 8.2)."""
        self.ssrc = ssrc
        self.buffer.clear()
        self.telephone_events = TelephoneEventReceiver()
        self.reports.change_source(ssrc)
        self.count = self.reports.statistics.update

    # For the relay: packets of our own to the phone

    def speak(self, slot: int, now: float) -> None:
        """Send the phone the digit or the local audio of one slot."""
        if self._digits.active:
            self._speak_digit(now)
        elif self._source is not None:
            payload = self._source.next_frame()
            slot_ms = slot * FRAME_MS & TIMESTAMP_MASK
            self.transmit(self.stream.audio_header(slot_ms, self.payload_type, now), payload)
        self.speaking = self._digits.active or self._source is not None

    def transmit(self, header: bytes | None, payload: bytes) -> None:
        """Send the phone a packet; what the network does not take is counted and forgotten."""
        destination = self.latch.destination
        if header is None or destination is None:
            return
        counters = self.counters
        try:
            self.send_rtp(header + payload, destination)
        except BlockingIOError:
            counters.send_blocked += 1
        except OSError:
            counters.send_failed += 1
        else:
            counters.sent += 1
            counters.sent_octets += len(payload)

    def send_report(self, now: float) -> None:
        """Send the phone an RTCP report, if it is known where to."""
        destination = self.latch.rtcp_destination
        if destination is None:
            return
        sent = (self.counters.sent, self.counters.sent_octets)
        try:
            report = self.reports.build(now, self.stream.timestamp_now(now), sent)
            self.ports.rtcp.sendto(report, destination)
        except OSError:
            self.counters.send_failed += 1

    def receive_report(self, now: float) -> None:
        """Read one RTCP packet of the phone."""
        try:
            datagram, source = self.ports.rtcp.recvfrom(REPORT_OCTETS_MAX)
        except OSError:
            self.counters.receive_failed += 1
            return
        if not self.latch.accept_rtcp(source):
            self.counters.wrong_source += 1
            return
        try:
            self.reports.receive(datagram, now)
        except RtcpError:
            self.counters.malformed += 1

    def _speak_digit(self, now: float) -> None:
        packet = self._digits.next_packet()
        if packet is None or self._remote is None or self._remote.telephone_event is None:
            return
        begins, _, payload = packet
        header = self.stream.event_header(self._remote.telephone_event, now, begins=begins)
        self.transmit(header, payload)

    def _begin_to_speak(self, now: float) -> None:
        self.speaking = True
        self._owner.speak(self, now)

    def _negotiated(self, payload_type: int) -> bool:
        remote = self._remote
        return remote is not None and payload_type in (remote.payload_type, remote.telephone_event)

    def _receive_event(self, packet: RtpPacket, now: float) -> None:
        if packet.ssrc != self.ssrc:
            self.change_ssrc(packet.ssrc)
        self.last_rtp_at = now
        self.count(packet.sequence, None, now)
        self.buffer.put(packet.sequence, NO_AUDIO)
        digits = self.telephone_events.receive(packet.timestamp, packet.marker, packet.payload)
        for digit in digits or "":
            self.counters.digits_received += 1
            self.on_digit(digit)

    def _choose_tables(self) -> None:
        if self.path is not None and self._remote is not None:
            self.table_to_link = codecs.translation(self._remote.format, self.path.format)
            self.table_to_phone = codecs.translation(self.path.format, self._remote.format)


def _ignore(_digit: str) -> None:
    """Stand in for a callback that nobody has set."""
