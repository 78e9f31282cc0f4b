"""The media of one call: a phone's sockets and stream on one side, a voice path on the other.

Owns what is said to one call: negotiate, connect, play, digits, close; and the state that
relay.py's hot path reads and writes for each packet. Must not know SIP, or how time is kept.
"""

from collections.abc import Callable
from typing import Final

from bridge.iax2.auth import Address
from bridge.iax2.constants import Format
from bridge.media import codecs
from bridge.media.counters import MediaCounters
from bridge.media.in_band_digits import listening_pull
from bridge.media.line import VoiceLine
from bridge.media.owner import Owner
from bridge.media.pacing import FRAME_MS, ReorderBuffer
from bridge.media.phone_stream import PhoneStream
from bridge.media.ports import PortPair, Receive, Send
from bridge.media.remote import RemoteMedia, SymmetricLatch
from bridge.media.repacking import Repacketizer, RepackingBuffer, packet_ms
from bridge.media.report_session import ReportSession
from bridge.media.rtcp import RtcpError
from bridge.media.rtp import (
    COMFORT_NOISE,
    HEADER_OCTETS,
    PAYLOAD_TYPE_MASK,
    TIMESTAMP_MASK,
    VERSION_2,
    VERSION_MASK,
)
from bridge.media.sources import Source
from bridge.media.srtp import SrtpKeys, SrtpSockets
from bridge.media.telephone_event import TelephoneEventReceiver, TelephoneEventSender

REPORT_OCTETS_MAX: Final = 1500
NO_SLOT: Final = 1 << 62
"""First slot of a call that sends nothing toward the link: not connected, or closed."""
UNNEGOTIATED: Final = -1
UNPACED: Final = -1


class CallMedia:
    """One call in the relay; made by `Relay.open`.

    Attributes:
        rtp_port: The local port for SDP; RTCP has the next one.
        on_digit: Called with each digit that the phone sends (RFC 4733, tones), once.
        in_band_digits: Digits are heard in the audio of a phone that has no other way (G.711).
        last_rtp_at: When the phone's last packet was read, None before the first.
        counters, buffer, latch, reports, stream: Its parts, each with figures of its own.
        path: The link's side; None until connected.
        number: The relay's, UNPACED before the call has slots.
        speaking: The phone hears a tone or a digit of ours rather than the link.
        closed: It is over; commands do nothing any more.
    """

    __slots__ = (
        "_digits",
        "_heard",
        "_owner",
        "_packer",
        "_secured",
        "_sockets",
        "_source",
        "_until_voice",
        "audio_octets",
        "buffer",
        "closed",
        "count",
        "counters",
        "descriptor",
        "first_slot",
        "in_band_digits",
        "last_rtp_at",
        "latch",
        "number",
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
        "receive_rtcp",
        "remote",
        "reports",
        "rtp_port",
        "seal",
        "send_full",
        "send_rtcp",
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
        self.number = UNPACED
        self.closed = self.in_band_digits = False
        self.on_digit: Callable[[str], None] = _ignore
        self.counters = MediaCounters()
        # The phone: sockets, negotiation, both streams.
        self._packer: Repacketizer | None = None
        self.use_ports(ports)
        self.remote: RemoteMedia | None = None
        self.payload_type = self.packet_octets = self.audio_octets = UNNEGOTIATED
        self.phone_sends = False
        self.ssrc: int | None = None
        self.last_rtp_at: float | None = None
        self.stream = PhoneStream()
        self.reports = ReportSession(self.stream.ssrc)
        self.count = self.reports.statistics.update
        self.telephone_events = TelephoneEventReceiver()
        # The link: its path is bound by connect().
        self.buffer: ReorderBuffer | RepackingBuffer = ReorderBuffer()
        self.pull = self._heard = self.buffer.pull
        self.phase: int | None = None
        self.path: VoiceLine | None = None
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
        self.remote = remote
        self.latch.negotiate(remote)
        self._choose_tables()
        if remote.srtp != (self._secured and self._secured.keys):
            self._use_sockets(remote.srtp)
        self._choose_packets(remote)
        if not remote.sends:
            self.buffer.clear()

    def connect(self, path: VoiceLine, send_full: Callable[[bytes, int], None], now: float) -> None:
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
        self.use_buffer(self.buffer)
        slot = self._owner.connect(self, path, now)
        begun_ms = path.elapsed_ms(now) // FRAME_MS * FRAME_MS
        self.origin_ms = begun_ms - slot * FRAME_MS
        self.first_slot = slot + 1
        send_full(self.silence, begun_ms)

    def slot_from(self, when: float) -> float:
        """Return when a slot of this call begins: the first that is not before `when`."""
        return self._owner.slot_from(self, when)

    def settle_at(self, when: float) -> None:
        """Move once, at that time, to a slot close behind the phone's packets, if any come."""
        if not self.closed:
            self._owner.settle_at(self, when)

    @property
    def format(self) -> Format | None:
        """The phone's codec, None until negotiated."""
        return None if self.remote is None else self.remote.format

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
        takes_digits = self.remote is not None and self.remote.telephone_event is not None
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
            # Whoever used it holds it, too: such a circle would wait for the collector.
            self.on_digit = self.send_full = _ignore

    # For the relay: the phone's packets that are not plain audio from the latched source

    def admit(self, datagram: bytes, source: Address) -> bool:
        """Latch to a source, if it is the phone; else count it.

        Its first packet must be RTP of a payload type that was negotiated.
        """
        is_rtp = len(datagram) >= HEADER_OCTETS and datagram[0] & VERSION_MASK == VERSION_2
        valid = is_rtp and self.negotiated(datagram[1] & PAYLOAD_TYPE_MASK)
        if valid and self.latch.accept(source):
            return True
        self.counters.wrong_source += 1
        return False

    def negotiated(self, payload_type: int) -> bool:
        """Whether the phone may send this: its codec, digits or comfort noise."""
        remote = self.remote
        return remote is not None and payload_type in (
            remote.payload_type,
            remote.telephone_event,
            COMFORT_NOISE,
        )

    def use_buffer(self, buffer: ReorderBuffer | RepackingBuffer) -> None:
        """Let another buffer stand between the phone and the link, which has its figures too."""
        was_heard = self.pull in (self._heard, self.buffer.pull)
        self.buffer = buffer
        self._heard = buffer.pull
        path, remote = self.path, self.remote
        if self.in_band_digits and path and remote and remote.telephone_event is None:
            self._heard = listening_pull(buffer.pull, path.format, self._on_tone_digit)
        if was_heard:
            self.pull = self._heard

    def change_ssrc(self, ssrc: int) -> None:
        """Begin anew with a phone that has restarted its stream (RFC 3550 section 8.2)."""
        self.ssrc = ssrc
        self.buffer.clear()
        self.telephone_events = TelephoneEventReceiver()
        self.reports.change_source(ssrc)
        self.count = self.reports.statistics.update

    def use_ports(self, ports: PortPair) -> None:
        """Speak with a phone at these ports, of which nothing is known yet."""
        self.ports, self.rtp_port = ports, ports.rtp_port
        self.descriptor = ports.rtp.fileno()
        self.latch = SymmetricLatch()
        self._use_sockets(None)

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
            self.send_rtcp(report, destination)
        except OSError:
            self.counters.send_failed += 1

    def receive_report(self, now: float) -> None:
        """Read one RTCP packet of the phone; ours go where it comes from."""
        try:
            datagram, source = self.receive_rtcp(REPORT_OCTETS_MAX)
            if not self.latch.may_report(source):
                self.counters.wrong_source += 1
                return
            self.reports.receive(datagram, now)
        except OSError:
            self.counters.receive_failed += 1
        except RtcpError:
            self.counters.malformed += 1
        else:
            self.latch.rtcp_destination = source

    def _speak_digit(self, now: float) -> None:
        packet = self._digits.next_packet()
        if packet is None or self.remote is None or self.remote.telephone_event is None:
            return
        begins, _, payload = packet
        header = self.stream.event_header(self.remote.telephone_event, now, begins=begins)
        self.transmit(header, payload)

    def _begin_to_speak(self, now: float) -> None:
        self.speaking = True
        self._owner.speak(self, now)

    def _use_sockets(self, srtp: SrtpKeys | None) -> None:
        """Read and write in clear, or under keys, which begin with the next packet."""
        self._secured: SrtpSockets | None = (
            None if srtp is None else SrtpSockets(self.ports, srtp, self._secured)
        )
        sockets = self._secured or self.ports
        self._sockets: tuple[Receive, Send] = (sockets.receive, sockets.send)
        self.receive_rtcp, self.send_rtcp = sockets.receive_report, sockets.send_report
        self.receive, self.send_rtp = self._sockets

    def _choose_packets(self, remote: RemoteMedia) -> None:
        """Begin with packets of 20 ms both ways, unless the phone asks for others."""
        self.receive, self.send_rtp = self._sockets
        repacks = isinstance(self.buffer, RepackingBuffer)
        self.use_buffer(ReorderBuffer() if repacks else self.buffer)
        length_ms = packet_ms(remote.format, remote.ptime_ms, remote.maxptime_ms)
        if self._packer is None and length_ms != FRAME_MS:
            self._packer = Repacketizer(self.counters)
        if self._packer is not None:
            self._packer.use(self.send_rtp, remote.payload_type, remote.format, length_ms)
            self.send_rtp = self._packer.send

    def _on_tone_digit(self, digit: str) -> None:
        self.counters.digits_received += 1
        self.on_digit(digit)

    def _choose_tables(self) -> None:
        if self.path is not None and self.remote is not None:
            self.table_to_link = codecs.translation(self.remote.format, self.path.format)
            self.table_to_phone = codecs.translation(self.path.format, self.remote.format)


def _ignore(*_told: object) -> None:
    """Stand in for a callback that nobody has set."""
