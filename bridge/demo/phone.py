"""The phone of the demo, in a process of its own: pjsua2 signals, plain sockets carry its audio.

Reads a `PhoneOrder` from its standard input, one line of JSON, and calls. Tells what happens on its
standard output, one line of JSON each. Any further line lets it hang up, and so does the end of
its input: then it tells what it heard, and ends. The number stands in neither its arguments nor
its log.
"""

import json
import os
import secrets
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Final

import trio

from bridge.demo.audio import FORMAT, FRAME_S, ToneEnd
from bridge.demo.lines import lines_of
from bridge.errors import BridgeError
from bridge.log import configure_logging
from bridge.media.codecs import frame_octets
from bridge.media.rtp import SEQUENCE_MASK, TIMESTAMP_MASK, RtpError, RtpPacket, parse_rtp_untrusted
from bridge.sip.agent import SipAgent
from bridge.sip.leg import SipLeg
from bridge.sip.refer import Refer, ReferAnswer
from bridge.sip.sdp import AudioDescription, LocalMedia
from bridge.sip.settings import SipSettings

ENCODING: Final = "PCMU"
HANG_UP_S: Final = 3.0
SETTLING_S: Final = 0.25
"""What is heard so soon after the answer is not measured: the far end has only begun to speak."""

_DATAGRAM_OCTETS_MAX: Final = 2048


class PhoneEvent(StrEnum):
    """What the phone tells, as `event` of a line; `at` is on the monotonic clock, in seconds."""

    CALLING = "calling"
    MEDIA = "media"
    ANSWERED = "answered"
    ENDED = "ended"
    REPORT = "report"


@dataclass(frozen=True, slots=True)
class PhoneOrder:
    """Whom to call, and how loud the tones are."""

    host: str
    port: int
    called: str = field(repr=False)
    caller: str = field(repr=False)
    sends_dbm0: float
    hears_dbm0: float


class DemoPhone:
    """One call, placed; the handler of its own leg."""

    def __init__(self, order: PhoneOrder, rtp: trio.socket.SocketType) -> None:
        self.over = trio.Event()
        self.answered_at: float | None = None
        self._order = order
        self._rtp = rtp
        self._audio = ToneEnd(order.sends_dbm0, order.hears_dbm0)
        self._remote: AudioDescription | None = None

    # What the leg tells

    def on_media(self, _leg: SipLeg, remote: AudioDescription | None) -> LocalMedia:
        """Offer mu-law alone; take the bridge's answer."""
        if remote is not None and self._remote is None:
            tell(PhoneEvent.MEDIA)
        self._remote = remote or self._remote
        return self.local_media

    def on_answered(self, _leg: SipLeg) -> None:
        """The bridge's 200 is through."""
        self.answered_at = time.monotonic()
        tell(PhoneEvent.ANSWERED)

    def on_digit(self, _leg: SipLeg, _digit: str) -> None:
        """Pay no attention to keys pressed at the other end."""

    def on_refer(self, _leg: SipLeg, _refer: Refer) -> ReferAnswer:
        """Nobody transfers a call of the demo."""
        return ReferAnswer(603)

    def on_ended(self, _leg: SipLeg, status: int, reason: str, _q850: int | None) -> None:
        """It is over, by whom it be."""
        tell(PhoneEvent.ENDED, status=status, reason=reason)
        self.over.set()

    # Its audio

    @property
    def local_media(self) -> LocalMedia:
        """What our SDP says."""
        host, port = self._rtp.getsockname()[:2]
        return LocalMedia(host, port, (ENCODING,))

    async def send_audio(self) -> None:
        """Send a frame of the tone each 20 ms, as soon as it is known where to."""
        sequence, timestamp = secrets.randbits(16), secrets.randbits(32)
        ssrc = secrets.randbits(32)
        due = trio.current_time()
        while True:
            due += FRAME_S
            await trio.sleep_until(due)
            sequence = sequence + 1 & SEQUENCE_MASK
            timestamp = timestamp + frame_octets(FORMAT) & TIMESTAMP_MASK
            if (remote := self._remote) is not None:
                payload = self._audio.next_frame(time.monotonic())
                packet = RtpPacket(0, False, sequence, timestamp, ssrc, payload)  # noqa: FBT003 - no marker
                await self._rtp.sendto(packet.encode(), (remote.host, remote.port))

    async def receive_audio(self) -> None:
        """Take what comes."""
        while True:
            datagram = await self._rtp.recv(_DATAGRAM_OCTETS_MAX)
            try:
                packet = parse_rtp_untrusted(datagram)
            except RtpError:
                continue
            self._audio.receive(packet.payload, time.monotonic())

    def report(self, until: float) -> None:
        """Tell what was sent, and what was heard between the answer and a time."""
        since = until if self.answered_at is None else self.answered_at + SETTLING_S
        heard = self._audio.heard(since, until)
        tell(
            PhoneEvent.REPORT,
            since=since,
            until=until,
            sent_at=self._audio.sent_at,
            heard=asdict(heard),
        )


def tell(event: PhoneEvent, **values: Any) -> None:  # noqa: ANN401 - whatever JSON can carry
    """Write one line for the demo."""
    line = {"event": event, "at": time.monotonic(), **values}
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


async def run_phone() -> None:
    """Take the order, place the call, and stay in it until told to hang up, or hung up.

    Raises:
        BridgeError: pjsua2 cannot be used, or the address cannot be called.
    """
    orders = lines_of(trio.lowlevel.FdStream(os.dup(sys.stdin.fileno())))
    order = PhoneOrder(**json.loads(await anext(orders)))
    agent = SipAgent(SipSettings(listen=(f"udp://{order.host}:0",)), lambda _leg: None)
    with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as rtp:
        await rtp.bind((order.host, 0))
        phone = DemoPhone(order, rtp)
        async with trio.open_nursery() as nursery:
            await nursery.start(agent.run)
            tell(PhoneEvent.CALLING)
            leg = agent.call(
                f"sip:{order.called}@{order.host}:{order.port}",
                phone,
                phone.local_media,
                f"sip:{order.caller}@{order.host}",
            )
            nursery.start_soon(phone.send_audio)
            nursery.start_soon(phone.receive_audio)
            await _told_to_hang_up_or_over(orders, phone)
            until = time.monotonic()
            leg.end(480)
            with trio.move_on_after(HANG_UP_S):
                await phone.over.wait()
            phone.report(until)
            nursery.cancel_scope.cancel()


async def _told_to_hang_up_or_over(orders: AsyncIterator[str], phone: DemoPhone) -> None:
    async with trio.open_nursery() as nursery:

        async def wait_for_a_line() -> None:
            await anext(orders, "")
            nursery.cancel_scope.cancel()

        nursery.start_soon(wait_for_a_line)
        await phone.over.wait()
        nursery.cancel_scope.cancel()


def main() -> int:
    """Run the phone; returns its exit code."""
    configure_logging("warning", "json")
    try:
        trio.run(run_phone)
    except BridgeError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
