"""A phone in virtual time: what stands below a SIP leg, and what stands for a call's audio.

Both take down what they are asked; the phone does what a test says. Nothing here knows the link.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Final

from bridge.iax2 import Format, VoicePath
from bridge.media.pacing import ReorderBuffer
from bridge.media.remote import RemoteMedia
from bridge.media.sources import Source
from bridge.sip.admission import Headers
from bridge.sip.leg import LegState, SipLeg
from bridge.sip.sdes import Srtp
from bridge.sip.sdp import LocalMedia, parse_sdp_untrusted

PHONE_HOST: Final = "192.0.2.10"
CALLER: Final = "4930999888"
OFFER: Final = (
    f"v=0\r\nc=IN IP4 {PHONE_HOST}\r\nm=audio 4000 RTP/AVP 0 8 101\r\n"
    "a=rtpmap:101 telephone-event/8000\r\n"
)
ALAW_OFFER: Final = OFFER.replace("0 8 101", "8 101")
SECURE_OFFER: Final = OFFER.replace("RTP/AVP", "RTP/SAVP") + (
    f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{'A' * 40}\r\n"
)
FOREIGN_OFFER: Final = OFFER.replace("0 8 101", "3")


class FakeMedia:
    """A call's audio as far as a bridged call can tell; takes down what it is asked."""

    rtp_port = 20000

    def __init__(self, story: "Story") -> None:
        self.closed = self.speaking = False
        self.last_rtp_at: float | None = None
        self.ports: Any = SimpleNamespace(is_ipv6=False)
        self.on_digit: Callable[[str], None] = lambda _digit: None
        self.remotes: list[RemoteMedia] = []
        self.tones: list[Source | None] = []
        self.digits = ""
        self.voice: list[bytes] = []
        self.settles_at: float | None = None
        self.path: VoicePath | None = None
        self.buffer = ReorderBuffer()
        self.pull: Callable[[], bytes | None] = self.buffer.pull
        self._story = story

    @property
    def format(self) -> Format | None:
        return self.remotes[-1].format if self.remotes else None

    def set_remote(self, remote: RemoteMedia) -> None:
        self.remotes.append(remote)

    def use_buffer(self, buffer: ReorderBuffer) -> None:
        self.buffer = buffer

    def slot_from(self, when: float) -> float:
        return when

    def settle_at(self, when: float) -> None:
        self.settles_at = when

    def connect(self, path: VoicePath, send_full: Callable[[bytes, int], None], now: float) -> None:
        self.path = path
        self._story.add("media connected")
        send_full(b"\xff" * path.frame_octets, path.elapsed_ms(now))

    def play(self, source: Source | None, _now: float, *, until_voice: bool = False) -> None:
        assert until_voice or source is None
        self.speaking = source is not None
        self.tones.append(source)

    def send_digit(self, digit: str, _now: float) -> bool:
        self.digits += digit
        return True

    def receive_voice(self, payload: bytes, _timestamp_ms: int, _now: float) -> None:
        self.voice.append(payload)

    def close(self) -> None:
        self.closed = True


@dataclass(slots=True)
class Story:
    """What happened, with its time; `clock` is the stage's."""

    clock: Callable[[], float]
    events: list[tuple[float, str]] = field(default_factory=list)

    def add(self, what: str) -> None:
        self.events.append((self.clock(), what))

    def names(self) -> list[str]:
        return [what for _, what in self.events]

    def at(self, what: str) -> float:
        """When something happened, which it did once."""
        (when,) = [at for at, name in self.events if name == what]
        return when


class Phone:
    """What stands below a leg: takes down what the phone would get, and is the phone.

    Attributes:
        got: The SIP that reached the phone: statuses, or "BYE".
        headers: Those of the last message.
        sdp: Our descriptions, in order.
        notices: What came by NOTIFY: headers and body.
    """

    def __init__(
        self,
        number: str,
        offer: str,
        story: Story,
        caller: str,
        srtp: Srtp = Srtp.OFF,
        *,
        user: str = "",
        call_id: str = "",
    ) -> None:
        self.got: list[int | str] = []
        self.headers: Headers = ()
        self.sdp: list[str] = []
        self.notices: list[tuple[Headers, str]] = []
        self.breaks_at: int | str | None = None
        self._story = story
        self.leg = SipLeg(
            1,
            self,
            state=LegState.INVITED,
            caller=caller,
            called=number,
            source=(PHONE_HOST, 5060),
            local_host="192.0.2.1",
            srtp=srtp,
            user=user,
            call_id=call_id,
        )
        self.leg.offer = parse_sdp_untrusted(offer, srtp) if offer else None

    def respond(self, status: int, _reason: str, headers: Headers, sdp: str) -> bool:
        """Take a response; a final one ends the leg at once, as the SIP stack may do."""
        self._take(status, headers)
        if sdp:
            self.sdp.append(sdp)
        elif status == 183 and self.leg.offer is None:
            self.sdp.append(self.leg.session_description(is_answer=False))
        if status >= 300:
            self.leg.disconnected(status, "", None)
        return True

    def notify(self, headers: Headers, body: str) -> None:
        """How a transfer stands, which this phone asked for."""
        self.notices.append((headers, body))

    def hang_up(self, headers: Headers) -> None:
        self._take("BYE", headers)
        self.leg.disconnected(200, "", None)

    def cancel(self) -> None:
        self._story.add("CANCEL")
        self.leg.disconnected(487, "Request Terminated", None)

    def bye(self, q850: int | None = None) -> None:
        self._story.add("phone's BYE")
        self.leg.disconnected(200, "", q850)

    def offers(self, direction: str, offer: str = OFFER) -> bool:
        """A re-INVITE."""
        return self.leg.offered(f"{offer}a={direction}\r\n")

    def _take(self, what: int | str, headers: Headers) -> None:
        if what == self.breaks_at:
            raise RuntimeError("the SIP stack broke")
        self.got.append(what)
        self.headers = headers
        self._story.add(str(what))


class CalledPhone:
    """A phone that the bridge calls, and what stands below its leg.

    Attributes:
        uri: Whom the bridge called.
        got: "INVITE", then "CANCEL" or "BYE", with the headers of the last one.
        offered: The description of the INVITE.
        invited_with: Its own headers.
        notices: What came by NOTIFY: headers and body.
    """

    def __init__(
        self, uri: str, local: LocalMedia, story: Story, headers: Headers = (), call_id: str = ""
    ) -> None:
        self.uri = uri
        self.got: list[str] = ["INVITE"]
        self.headers: Headers = ()
        self.invited_with = headers
        self.notices: list[tuple[Headers, str]] = []
        self._story = story
        self.leg = SipLeg(
            1,
            self,
            state=LegState.CALLING,
            source=("192.0.2.10", 5060),
            local_host="192.0.2.2",
            local=local,
            call_id=call_id,
        )
        self.offered = self.leg.session_description(is_answer=False)
        story.add("INVITE")

    def respond(self, _status: int, _reason: str, _headers: Headers, _sdp: str) -> bool:
        raise AssertionError("a leg of ours answers nothing")

    def notify(self, headers: Headers, body: str) -> None:
        """How a transfer stands, which this phone asked for."""
        self.notices.append((headers, body))

    def hang_up(self, headers: Headers) -> None:
        """The bridge cancels or hangs up."""
        what = "BYE" if self.leg.state is LegState.ENDING and self._is_answered else "CANCEL"
        self.got.append(what)
        self.headers = headers
        self._story.add(what)
        self.leg.disconnected(200 if what == "BYE" else 487, "", None)

    _is_answered = False

    def rings(self) -> None:
        """180."""
        self.leg.rings()

    def sends_early_media(self, sdp: str = OFFER) -> None:
        """183 with SDP."""
        self.leg.answered(sdp)

    def answers(self, sdp: str = OFFER) -> None:
        """200, and the ACK to it."""
        self._is_answered = True
        self.leg.answered(sdp)
        self.leg.established()

    def refuses(self, status: int, q850: int | None = None) -> None:
        """A final response."""
        self.leg.disconnected(status, "", q850)

    def bye(self, q850: int | None = None) -> None:
        """The phone hangs up."""
        self.leg.disconnected(200, "", q850)


def q850(phone: Phone) -> str | None:
    """Return the Reason of the last message that the phone got."""
    return dict(phone.headers).get("Reason")
