"""THE HOT PATH: every audio packet of every call passes here, in both directions.

From the phone to the link, on a clock. Each call has a place in one of a few clock phases; a slot
of 20 ms begins in each phase in turn, and then, for all calls of the phase at once:

    1. epoll tells whose sockets hold packets; one packet of each is read at a time
    2. its source must be the phone
    3. its header must be plain, and of the call's codec and frame size (else: unusual_packets)
    4. translated where the codecs differ, it waits in the call's reorder buffer
    5. a frame is taken from each call's buffer, or silence where none is there
    6. it is encrypted as a mini frame, or, once in 32 s, handed to the call as a full frame
    7. the frames of all calls with one peer leave in one send

So what the phone sends decides what is in a frame, never whether or when one leaves.

From the link to the phone, at once:

    A. the peer's address and the first two octets tell the call
    B. the frame is decrypted and judged
    C. it is dropped while the phone hears something else, or is on hold
    D. it takes its place in the phone's stream: sequence number and timestamp follow the link's
    E. translated where the codecs differ, it is sent

Local audio and digits toward the phone leave with the clock, after step 7. Nothing here waits,
locks or logs. A failing call is closed and reported; it takes no other with it.

Must not know SIP, frames in reliable order, keys, or trio: time is an argument.
"""

from collections.abc import Callable, Mapping
from heapq import heappop, heappush
from itertools import count
from select import epoll
from typing import Final

from bridge.iax2.auth import Address
from bridge.media.call_media import CallMedia
from bridge.media.compiled import FastPath, LinkReader, fast_path
from bridge.media.line import VoiceLine
from bridge.media.pacing import FRAME_MS
from bridge.media.phases import Phase, Phases, without
from bridge.media.ports import PortPair, PortPool, PortsExhaustedError
from bridge.media.rtcp import report_interval_s
from bridge.media.rtp import (
    HEADER_OCTETS,
    PAYLOAD_TYPE_MASK,
    PLAIN,
    RTP_HEADER,
    TIMESTAMP_MASK,
)
from bridge.media.unusual_packets import take_unusual

DATAGRAM_OCTETS_MAX: Final = 479
"""Larger ones are cut, and then of a wrong size. Up to here CPython takes the buffer from its
pools, which saves a tenth of the receive."""
ROUNDS_MAX: Final = 64
"""Packets read from one socket in one pass: a flooded one takes its share, not the loop."""

_NO_CALLS: Final[Mapping[bytes, CallMedia]] = {}


class Relay:
    """All calls' audio.

    Attributes:
        on_schedule: Called when `next_tick` may have become earlier.
    """

    def __init__(
        self,
        send_link: Callable[[list[bytes], Address], object],
        ports: PortPool,
        on_failure: Callable[[CallMedia, Exception], None],
        fast: FastPath | None = None,
    ) -> None:
        """Wire the relay.

        Args:
            send_link: Sends datagrams to one peer; counts its own errors and never raises.
            ports: Where calls get their RTP ports.
            on_failure: Called after a call's media was closed because of an error of ours.
            fast: What relays plain packets; by default compiled code where it is installed.
        """
        self._fast = fast or fast_path()
        self.on_schedule: Callable[[], None] = _nothing
        self._send_link = send_link
        self._ports = ports
        self._on_failure = on_failure
        self._phases = Phases()
        self._calls: dict[int, CallMedia] = {}  # by descriptor of the RTP socket
        self._reporters: dict[int, CallMedia] = {}  # by descriptor of the RTCP socket
        self._routes: dict[Address, dict[bytes, CallMedia]] = {}
        self._reports: list[tuple[float, int]] = []  # a heap of when they are due, and whose
        self._paced: dict[int, CallMedia] = {}  # by number
        self._number = count()

    @property
    def path_name(self) -> str:
        """What relays plain packets: "compiled" code, or "Python" alone."""
        return self._fast.name

    @property
    def calls_open(self) -> int:
        """How many calls hold ports."""
        return len(self._calls)

    # Phone to link

    def next_tick(self) -> float | None:
        """Return when `tick` wants to be called, None while no call is paced."""
        return self._phases.clock.next_tick()

    def tick(self, now: float) -> None:
        """Run the slots that have begun; after a stall, the missed ones too, up to a bound."""
        for phase, slots in self._phases.due(now):
            for slot in slots:
                # A missed slot takes the packet that its calls would have taken in time.
                self._read(phase, slot, ROUNDS_MAX if slot == slots[-1] else 1, now)
                self._send_slot(phase, slot)
                if phase.speakers:
                    self._speak(phase, slot, now)
            if phase.moves:
                self._move(phase, slots[-1])
        self._send_reports(now)

    def _read(self, phase: Phase, slot: int, rounds: int, now: float) -> None:
        self._drain(phase.epoll, rounds, now)
        if phase.listening:
            # What came since they were read last was there when the slot began.
            begun_at = self._phases.clock.begin_of(phase.index, slot)
            self._drain(self._phases.unpaced, rounds, begun_at)

    def fileno(self) -> int:
        """Return the descriptor that is readable when `rtp_readable` wants to be called."""
        return self._phases.unpaced.fileno()

    def rtp_readable(self, now: float) -> None:
        """Read what came for calls that are not paced yet; the others are read by `tick`."""
        self._drain(self._phases.unpaced, ROUNDS_MAX, now)

    def _drain(self, sockets: epoll, rounds: int, now: float) -> None:
        calls = self._calls
        for _ in range(rounds):
            # 1. A packet of each socket that has one.
            waiting = self._fast.read_phones(sockets, calls, now)
            if waiting is None:
                return
            for descriptor, packet in waiting:
                media = calls.get(descriptor)
                if media is None:
                    self._receive_report(descriptor, now)
                    continue
                try:
                    datagram, source = packet or media.receive(DATAGRAM_OCTETS_MAX)
                except OSError:
                    media.counters.receive_failed += 1
                    continue
                try:
                    self._from_phone(media, datagram, source, now)
                except Exception as error:  # noqa: BLE001 - a bug ends one call, never the relay
                    self._fail(media, error)

    def _from_phone(self, media: CallMedia, datagram: bytes, source: Address, now: float) -> None:
        # 2. The source.
        if source != media.latch.source and not media.admit(datagram, source):
            return
        # 3. The header.
        if (
            len(datagram) == media.packet_octets
            and datagram[0] == PLAIN
            and datagram[1] & PAYLOAD_TYPE_MASK == media.payload_type
        ):
            _, _, sequence, timestamp, ssrc = RTP_HEADER.unpack_from(datagram)
            payload = datagram[HEADER_OCTETS:]
        elif packet := take_unusual(media, datagram, now):
            sequence, timestamp, ssrc = packet.sequence, packet.timestamp, packet.ssrc
            payload = packet.payload
        else:
            return
        if ssrc != media.ssrc:
            media.change_ssrc(ssrc)
        media.last_rtp_at = now
        media.counters.received += 1
        media.count(sequence, timestamp, now)
        # 4. The buffer.
        if media.path is None or not media.phone_sends:
            media.counters.unused += 1
            return
        table = media.table_to_link
        media.buffer.put(sequence, payload if table is None else payload.translate(table))

    def _send_slot(self, phase: Phase, slot: int) -> None:
        slot_ms = slot * FRAME_MS
        for peer, calls in phase.batches:
            datagrams, remaining = self._fast.seal_slot(calls, slot)
            for media in remaining:
                if slot < media.first_slot:
                    continue
                timestamp_ms = media.origin_ms + slot_ms & TIMESTAMP_MASK
                try:
                    # 5. A frame, or silence.
                    payload = media.pull() or media.silence
                    # 6. Encrypted.
                    datagram = media.seal(payload, timestamp_ms)
                    if datagram is None:
                        media.send_full(payload, timestamp_ms)
                    else:
                        datagrams.append(datagram)
                except Exception as error:  # noqa: BLE001 - a bug ends one call, never the relay
                    self._fail(media, error)
            # 7. One send for all of them.
            if datagrams:
                self._send_link(datagrams, peer)

    # Link to phone

    def receive_link(self, datagram: bytes, address: Address, now: float) -> bool:
        """Take a datagram of the link; False when it is no mini frame of a connected call."""
        # A. The call.
        media = self._routes.get(address, _NO_CALLS).get(datagram[:2])
        if media is None:
            return False
        try:
            # B. The frame.
            opened = media.open_frame(datagram, now)
            if opened is not None:
                timestamp_ms, payload = opened
                self.to_phone(media, timestamp_ms, payload, now)
        except Exception as error:  # noqa: BLE001 - a bug ends one call, never the relay
            self._fail(media, error)
        return True

    def link_reader(self, descriptor: int) -> LinkReader | None:
        """Return what reads the link's socket in place of `receive_link`, if anything does."""
        return self._fast.link_reader(descriptor, self._routes)

    def to_phone(self, media: CallMedia, timestamp_ms: int, payload: bytes, now: float) -> None:
        """Relay a frame of the link; `CallMedia.receive_voice` brings the full ones."""
        # C. Whether it is heard.
        if (media.speaking and not media.yields_to_voice(now)) or media.latch.destination is None:
            media.counters.unheard += 1
            return
        # D. Its place in the stream.
        header = media.stream.audio_header(timestamp_ms, media.payload_type, now)
        if header is None:
            media.counters.late += 1
            return
        # E. Sent.
        table = media.table_to_phone
        media.transmit(header, payload if table is None else payload.translate(table))

    # Beside the hot path: local audio, reports, and calls that come and go

    def open(self, local_host: str) -> CallMedia:
        """Bind the ports of a new call on the address that its phone reached.

        Raises:
            PortsExhaustedError: The call cannot be taken.
        """
        media = CallMedia(self, self._ports.open(local_host))
        try:
            self._know(media)
        except OSError as error:
            media.close()
            raise PortsExhaustedError(f"no RTP ports: {error.strerror}") from error
        return media

    def connect(self, media: CallMedia, path: VoiceLine, now: float) -> int:
        """Give a call its route and its place in a batch; see `CallMedia.connect`."""
        phase = self._pace(media, now)
        peer, number = path.route
        self._routes.setdefault(peer, {})[number] = media
        phase.add(media, peer)
        return self._phases.clock.slot_begun(phase.index, now)

    def slot_from(self, media: CallMedia, when: float) -> float:
        """Return when a slot of the call begins; see `CallMedia.slot_from`."""
        return when if media.phase is None else self._phases.clock.slot_from(media.phase, when)

    def settle_at(self, media: CallMedia, when: float) -> None:
        """Move a call close behind its phone's packets; see `CallMedia.settle_at`."""
        self._phases.settle_at(media, when)

    def speak(self, media: CallMedia, now: float) -> None:
        """Let a call speak in the slots to come; see `CallMedia.play` and `send_digit`."""
        phase = self._pace(media, now)
        if media not in phase.speakers:
            phase.speakers = (*phase.speakers, media)

    def forget(self, media: CallMedia) -> None:
        """Drop all that is known of a call; see `CallMedia.close`."""
        self._unknow(media)
        self._paced.pop(media.number, None)
        if media.path is not None:
            self._forget_route(media, *media.path.route)
        self._phases.leave(media)
        self._ports.close(media.ports)  # which takes them from their epoll, too

    def _forget_route(self, media: CallMedia, peer: Address, number: bytes) -> None:
        calls = self._routes.get(peer, {})
        if calls.get(number) is media:
            del calls[number]
            if not calls:
                del self._routes[peer]

    def move(self, media: CallMedia, ports: PortPair) -> None:
        """Let another phone speak in a call, at ports of its own; its place on the link stays."""
        self._unknow(media)
        self._ports.close(media.ports)
        ports.discard_waiting()
        media.use_ports(ports)
        self._know(media)

    def close(self) -> None:
        """Close all calls and the relay's descriptors."""
        for media in tuple(self._calls.values()):
            media.close()
        self._phases.close()

    def _pace(self, media: CallMedia, now: float) -> Phase:
        """Put a call on the clock, where it is not; returns its phase."""
        phase = self._phases.of(media)
        if phase is None:
            phase = self._phases.pace(media, now)
            media.number = next(self._number)
            self._paced[media.number] = media
            heappush(self._reports, (now + report_interval_s(), media.number))
            self.on_schedule()
        return phase

    def _move(self, phase: Phase, slot: int) -> None:
        for media in self._phases.due_to_move(phase, slot):
            try:
                self._phases.move(media, phase, slot)
            except Exception as error:  # noqa: BLE001 - a bug ends one call, never the relay
                self._fail(media, error)

    def _know(self, media: CallMedia) -> None:
        self._calls[media.ports.rtp.fileno()] = media
        self._reporters[media.ports.rtcp.fileno()] = media
        self._phases.watch(media)

    def _unknow(self, media: CallMedia) -> None:
        del self._calls[media.ports.rtp.fileno()]
        del self._reporters[media.ports.rtcp.fileno()]

    def _speak(self, phase: Phase, slot: int, now: float) -> None:
        for media in phase.speakers:
            try:
                media.speak(slot, now)
            except Exception as error:  # noqa: BLE001 - a bug ends one call, never the relay
                self._fail(media, error)
            if not media.speaking:
                phase.speakers = without(phase.speakers, media)

    def _receive_report(self, descriptor: int, now: float) -> None:
        media = self._reporters.get(descriptor)
        if media is not None:
            try:
                media.receive_report(now)
            except Exception as error:  # noqa: BLE001 - a bug ends one call, never the relay
                self._fail(media, error)

    def _send_reports(self, now: float) -> None:
        reports = self._reports
        while reports and reports[0][0] <= now:
            due_at, number = heappop(reports)
            media = self._paced.get(number)
            if media is not None:
                try:
                    media.send_report(now)
                except Exception as error:  # noqa: BLE001 - a bug ends one call, never the relay
                    self._fail(media, error)
                heappush(reports, (due_at + report_interval_s(), number))

    def _fail(self, media: CallMedia, error: Exception) -> None:
        media.close()
        self._on_failure(media, error)


def _nothing() -> None:
    """Stand in for a callback that nobody has set."""
